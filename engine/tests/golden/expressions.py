"""Writes expressions.json: what airbyte-cdk makes of the texts below.

`cargo xtask cdk-goldens` runs this. The result is committed, so that the tests need no Python. Each case: the template, whether it is
evaluated as a condition, and the value as JSON (with its Python type, for what JSON cannot tell).
"""
import datetime
import itertools
import json
import pathlib
import types

import airbyte_cdk.sources.declarative.interpolation.macros as macros
from airbyte_cdk.sources.declarative.interpolation.interpolated_boolean import InterpolatedBoolean
from airbyte_cdk.sources.declarative.interpolation.jinja import JinjaInterpolation

NOW = datetime.datetime(2026, 11, 22, 4, 39, 58, 624312, tzinfo=datetime.timezone.utc)


class Instances(type):
    def __instancecheck__(cls, value):
        return isinstance(value, datetime.datetime)


class Frozen(datetime.datetime, metaclass=Instances):
    """A clock that stands still; what it gives are plain datetimes."""

    @classmethod
    def now(cls, tz=None):
        return NOW.astimezone(tz)


frozen = types.SimpleNamespace(**{name: getattr(datetime, name) for name in dir(datetime) if not name.startswith("_")})
frozen.datetime = Frozen
macros.datetime = frozen

CONFIG = {
    "id": "client", "email": "a@b.example", "n": 7, "f": 1.5, "s": "Hello World", "e": "", "z": None,
    "digits": "0012", "num": "12", "list": [1, 2, 3], "words": ["a", "b'c"], "t": True, "no": False,
    "d": {"a": {"b": "deep"}, "x": None, "list": [{"k": 1}, {"k": 2}]}, "price": "25.10", "url": "a b/c?d=é",
    "big": 12345678901234567890123,
}
LITERALS = [
    "123", "1.10", "1,2", "1_000", "0x1F", "1e5", " 5 ", "+49123", "-7", "True", "None", "'x'", '"x"', "[1,2]", "{1,2}",
    "b'x'", "...", "007", "2024-01-01", '{"a": null}', "plain", "", "0", "00", "0_0", "1__0", "_1", "1_", "1.", ".5", "1e", "1e400",
    "1+2", "1j", "()", "(1)", "(1,)", "1,", "[]", "{}", "{'a': 1}", "{1: 2}", "[1, [2, (3,)]]", "'a' 'b'", "'a", "a'", "nan", "inf",
    "true", "null", "0b101", "0o17", "0x", "1 2", "12 # c", "# c", "\t5", "\n5", "5\n", "5\n6", "'''a\nb'''", "'\\x41\\n'", "r'\\n'", "u'x'",
    "f'x'", "set()", "-", "--5", "-'a'", "- 5", "1.5e-7", "1E+2", "100000000000000000000000", "3.14159265358979312345", "[1,", "{'a'}", "[None, True]",
    "1 if True else 2", "lambda: 1", "[*x]", "'it''s'", "\\n", "12abc", "1.2.3", "10.0", "1e16", "-0.0", "0.1e1", "'\\u00e9'", "'\\q'", "{'a': [1, {'b': None}]}",
    "a,b", "1;2", "(1, 2", "1\\\n", "'a'\n", "no", "yes", "off", "~5", "not 1", "1 == 1", "b'\\xff'", "rb'a'", "'a' b'b'", "\u00e9", "\uff15",
]
EXPRESSIONS = [
    "{{ config['id'] }}", "{{ config.id }}", "{{ config['nothing'] }}", "{{ config.get('nothing') }}", "{{ config.get('nothing', 'd') }}", "x{{ config['n'] }}y",
    "{{ config['n'] + 1 }}", "{{ config.n / 2 }}", "{{ config.n // 2 }}", "{{ config.n % 4 }}", "{{ -7 // 2 }}", "{{ -7 % 3 }}", "{{ config.n * 1.5 }}", "{{ config.f }}", "{{ config.n - 10 }}", "{{ 2 * 'ab' }}",
    "{{ config.id ~ config.n }}", "{{ config.id ~ ':' ~ config.f }}", "{{ 'a' 'b' }}", "{{ config.s.split(' ') }}", "{{ config.s.split(' ')[0] }}", "{{ config.s.split() | length }}", "{{ config.s.lower() }}", "{{ config.s.upper() }}",
    "{{ config.s.replace('o', '0') }}", "{{ config.s.replace('o', '0', 1) }}", "{{ ' x '.strip() }}", "{{ 'xax'.strip('x') }}", "{{ 'xax'.lstrip('x') }}", "{{ config.s.startswith('Hell') }}", "{{ config.s.endswith('x') }}",
    "{{ ','.join(config.words) }}", "{{ config.list | join('-') }}", "{{ config.list | join }}", "{{ config.d.items() }}", "{{ config.d.keys() | list }}", "{{ config.d.a.b }}", "{{ config['d']['a']['b'] }}", "{{ config.d.x }}", "{{ config.d.get('list')[1]['k'] }}",
    "{{ config.list[0] }}", "{{ config.list[-1] }}", "{{ config.list[9] }}", "{{ config.list[1:] }}", "{{ config.list[:-1] }}", "{{ config.list[::-1] }}", "{{ config.s[:5] }}", "{{ config.s[0] }}", "{{ config.s[::2] }}", "{{ config.s[-3:] }}",
    "{{ config.digits }}", "{{ config.num }}", "{{ config.price }}", "{{ config.num | int + 1 }}", "{{ '5.9' | int }}", "{{ 'x' | int }}", "{{ 'x' | int(3) }}", "{{ 'ff' | int(0, 16) }}", "{{ config.f | int }}", "{{ '2.50' | float }}", "{{ 'x' | float }}", "{{ 3 | float }}",
    "{{ config.n | string }}", "{{ config.num | string }}", "{{ config.d | string }}", "{{ config.list | string }}", "{{ config.list | length }}", "{{ config.s | length }}", "{{ config.d | length }}", "{{ config.words | first }}", "{{ config.words | last }}", "{{ 'ab' | list }}",
    "{{ config.nothing | default('dflt') }}", "{{ config.e | default('dflt') }}", "{{ config.e | default('dflt', true) }}", "{{ config.z | d('x') }}", "{{ config.nothing | d('x') }}", "{{ config.s | lower }}", "{{ config.s | upper }}", "{{ 'hello world' | title }}", "{{ 'hELLO' | capitalize }}",
    "{{ config.s | replace('o', 'x') }}", "{{ ' a ' | trim }}", "{{ config.d | tojson }}", "{{ '<a&>' | tojson }}", "{{ config.url | urlencode }}", "{{ {'a b': 'c/d', 'e': 1} | urlencode }}", "{{ config.s | base64encode }}", "{{ 'SGVsbG8=' | base64decode }}",
    "{{ config.id | hash }}", "{{ config.id | hash('sha256') }}", "{{ config.id | hash('md5', 'salt') }}", "{{ config.n | hash('sha512') }}", "{{ 'a=12;b' | regex_search('a=(\\\\d+)') }}", "{{ 'abc' | regex_search('b') }}", "{{ -5 | abs }}",
    "{{ 'yes' if config.t else 'no' }}", "{{ 'yes' if config.no }}", "{{ config.nothing or 'other' }}", "{{ config.id and config.n }}", "{{ not config.e }}", "{{ config.n in [1, 7] }}", "{{ 'ell' in config.s }}", "{{ 'a' in config.d }}", "{{ 'q' not in config.d }}", "{{ 1 in config.nothing }}",
    "{{ config.n == 7.0 }}", "{{ config.n != '7' }}", "{{ 1 < config.n < 10 }}", "{{ 'a' < 'b' }}", "{{ config.z is none }}", "{{ config.nothing is defined }}", "{{ config.nothing is undefined }}", "{{ config.nothing is none }}", "{{ config.n is number }}", "{{ config.s is string }}", "{{ config.z is not none }}",
    "{{ config.d is mapping }}", "{{ config.list is sequence }}", "{{ config.n is odd }}", "{{ config.t is true }}", "{{ [1, 'a', none] }}", "{{ {'a': 1, 'b': [true]} }}", "{{ (1, 2) }}", "{{ [] }}", "{{ {} }}", "{{ '' }}", "{{ none }}", "{{ true }}", "{{ 1.0 }}", "{{ 1e16 }}", "{{ 0.1 + 0.2 }}",
    "{{ max(1, 3, 2) }}", "{{ min([4, 2]) }}", "{{ max(config.list) }}", "{{ config.big }}", "{{ config.big + 1 }}", "{{ config.d }}", "{{ config.words }}", "a {{ config.words }} b", "{{ config.t }}x", "{{ config.n }}, {{ config.n }}", "{{ config.id }}, {{ config.n }}", "'{{ config.num }}'", "\"{{ config.num }}\"",
    " {{ config.n }} ", "{{ config.n }}\n", "{{ config.nothing.deeper }}", "{{ config.z.deeper }}", "{{ config.z.get('a') }}", "{{ config.nothing.get('a') }}", "{{ config.get('nothing').get('x') }}", "{{ config.n.get('a') }}", "{{ config.nothing ~ 'x' }}", "{{ config.z ~ 'x' }}", "{{ config.nothing + 1 }}", "{{ config['list'] + [4] }}",
    "{{ config.s.title() }}", "{{ config.s.count('o') }}", "{{ config.s.find('W') }}", "{{ '7'.zfill(3) }}", "{{ 'a,b,c'.rsplit(',', 1) }}", "{{ 'a,b,c'.split(',', 1) }}", "{{ '12'.isdigit() }}", "{{ stream_slice.x }}", "{{ stream_partition }}", "{{ parameters['p'] }}", "{{ parameters.p ~ 1 }}", "{# c #}x", "{{ '{{' }}", "{{ 'it\\'s' }}", "{{ [\"it's\"] }}", "{{ 'é' }}", "{{ ['é\\n'] }}",
    "{{ config.d.list | length > 1 }}", "{{ config.f // 0.4 }}", "{{ config.num ~ config.num }}", "{{ '0x10' }}", "{{ '1_0' }}", "{{ config.list == [1, 2, 3.0] }}", "{{ config.t + 1 }}", "{{ config.t == 1 }}", "{{ -config.n }}", "{{ not none }}", "{{ 7 is odd and 8 is even }}",
]
SEQUENCES = [
    "{{ config.d.list | map(attribute='k') | list }}", "{{ config.d.list | map(attribute='k') | join(',') }}", "{{ config.d.list | map(attribute='x', default=0) | list }}", "{{ config.d.list | map(attribute='x') | join(',') }}",
    "{{ config.words | map('upper') | list }}", "{{ config.words | map('replace', 'b', 'x') | list }}", "{{ config.list | map('string') | list }}", "{{ [{'a': {'b': [7]}}] | map(attribute='a.b.0') | list }}", "{{ [[1, 2], [3]] | map(attribute=0) | list }}",
    "{{ config.list | select('odd') | list }}", "{{ config.list | reject('odd') | list }}", "{{ [0, 1, '', 'x'] | select | list }}", "{{ [0, 1, '', 'x'] | reject | list }}", "{{ config.list | select('gt', 1) | list }}", "{{ config.list | select('in', [1, 3]) | list }}", "{{ config.list | select('divisibleby', 3) | list }}",
    "{{ config.d.list | selectattr('k', 'equalto', 2) | list }}", "{{ config.d.list | selectattr('k', 'ne', 2) | map(attribute='k') | first }}", "{{ config.d.list | selectattr('x') | list }}", "{{ config.d.list | rejectattr('x', 'defined') | list | length }}", "{{ config.d.list | selectattr('k', 'eq', 9) | map(attribute='k') | first | default('none') }}",
    "{{ [1, 2, 1, 2.0, '1'] | unique | list }}", "{{ ['a', 'B', 'A'] | unique | list }}", "{{ ['a', 'B', 'A'] | unique(true) | list }}", "{{ [{'k': 1, 'n': 1}, {'k': 1, 'n': 2}] | unique(attribute='k') | list }}", "{{ [3, 1, 2] | sort }}", "{{ [3, 1, 2] | sort(reverse=true) }}", "{{ ['b', 'A', 'c'] | sort }}",
    "{{ ['b', 'A', 'c'] | sort(case_sensitive=true) }}", "{{ [{'k': 2}, {'k': 1}] | sort(attribute='k') }}", "{{ [1, 'a'] | sort }}", "{{ 'abc' | reverse }}", "{{ [1, 2] | reverse | list }}", "{{ [1, 2.5] | sum }}", "{{ config.d.list | sum(attribute='k') }}", "{{ [1] | sum(start=10) }}", "{{ [3, 1] | min }}", "{{ ['a', 'B'] | max }}",
    "{{ [] | max }}", "{{ config.d.list | max(attribute='k') }}", "{{ 2.5 | round }}", "{{ 3.5 | round }}", "{{ 2.675 | round(2) }}", "{{ 7 | round }}", "{{ 1.21 | round(1, 'ceil') }}", "{{ 1.29 | round(1, 'floor') }}", "{{ 1234 | round(-2) }}", "{{ 1234.5 | round(-2) }}", "{{ config.d | items | list }}", "{{ 'a b, c_d' | wordcount }}",
    "{{ 'Hello World' | regex_replace('o', '0') }}", "{{ 'ab12' | regex_replace('([a-z]+)([0-9]+)', '\\\\2-\\\\1') }}", "{{ 'ab12' | regex_replace('(?P<w>[a-z]+)', '<\\\\g<w>>') }}", "{{ 'a.b' | regex_replace('[.]', '\\\\\\\\') }}", "{{ 5 | regex_replace('a', 'b') }}", "{{ 'x' | regex_replace('y', 'z') }}", "{{ 'aXbX' | regex_replace('X$', '') }}",
    "{{ 'abc' | base64binascii_decode }}", "{{ 'é' | base64binascii_decode }}", "{{ 'message' | hmac('key') }}", "{{ 'message' | hmac(key='key', hash_type='sha256') }}", "{{ 'message' | hmac('key', 'md5') }}", "{{ 5 | hmac(7) }}", "{{ 2 ** 10 }}", "{{ 2 ** -1 }}", "{{ 2.0 ** 3 }}", "{{ 9 ** 0.5 }}", "{{ 0 ** 0 }}", "{{ config.n ** 2 }}", "{{ 10 ** 20 }}",
    "{{ config.list.index(2) }}", "{{ config.list.index(9) }}", "{{ config.list.count(2) }}", "{{ 'abc'.index('c') }}", "{{ 'abca'.rfind('a') }}", "{{ 'abc'.removeprefix('a') }}", "{{ 'abc'.removesuffix('c') }}", "{{ 'a-b-c'.partition('-') }}", "{{ 'a-b-c'.rpartition('-') }}", "{{ 'abc'.partition('x') }}", "{{ 'a\nb'.splitlines() }}",
    "{{ 'aB'.swapcase() }}", "{{ 'ab'.isalpha() }}", "{{ 'a1'.isalnum() }}", "{{ ' '.isspace() }}", "{{ 'ab'.islower() }}", "{{ 'AB'.isupper() }}", "{{ 'AB' is upper }}", "{{ 'ab' is lower }}", "{{ 5 is divisibleby 5 }}", "{{ 5 is gt 4 }}", "{{ 'a' is lt 'b' }}", "{{ 5 is ne 5 }}", "{{ config.n is ge(7) }}",
    "{{ today_with_timezone('Pacific/Tarawa') }}", "{{ today_with_timezone('America/Los_Angeles') }}", "{{ today_with_timezone('Nowhere') }}", "{{ today_with_timezone('UTC') - duration('P1D') }}", "{{ (generate_uuid() | string)[14] }}",
]
BUILT_IN = [
    "{{ none is sameas none }}", "{{ true is sameas true }}", "{{ 1 is sameas true }}", "{{ config.t is sameas true }}", "{{ config.no is sameas(false) }}", "{{ config.z is sameas none }}", "{{ config.nothing is sameas none }}", "{{ 'a' is not sameas none }}", "{{ [true, 1, none] | select('sameas', true) | list }}",
    "{{ {'b': 1, 'A': 2, 'c': 0} | dictsort }}", "{{ {'b': 1, 'A': 2, 'c': 0} | dictsort(true) }}", "{{ {'b': 1, 'A': 2, 'c': 0} | dictsort(by='value') }}", "{{ {'b': 1, 'A': 2, 'c': 0} | dictsort(false, 'value', true) }}", "{{ {'b': 1, 'A': 2} | dictsort(reverse=true) | map(attribute=0) | join }}", "{{ {'b': 'x', 'a': 1} | dictsort(by='value') }}", "{{ {'a': 1} | dictsort(by='x') }}", "{{ [1] | dictsort }}", "{{ config.nothing | dictsort }}", "{{ none | dictsort }}", "{{ {} | dictsort }}",
    "{{ [{'k': 'b', 'n': 1}, {'k': 'A', 'n': 2}, {'k': 'a', 'n': 3}] | groupby('k') }}", "{{ [{'k': 'b', 'n': 1}, {'k': 'A', 'n': 2}, {'k': 'a', 'n': 3}] | groupby('k', case_sensitive=true) }}", "{{ [{'k': 'b', 'n': 1}, {'n': 2}] | groupby('k', default='z') }}", "{{ [{'k': 2}, {'k': 1}, {'k': 2}] | groupby('k') | map(attribute='grouper') | list }}", "{{ [{'k': 2}, {'k': 1}, {'k': 2}] | groupby('k') | map(attribute='list') | map('length') | list }}", "{{ ([{'k': 2}, {'k': 1}] | groupby('k'))[0].grouper }}", "{{ ([{'k': 2}, {'k': 1}] | groupby('k'))[1].list }}", "{{ ([{'k': 2}, {'k': 1}] | groupby('k') | first)[1] }}", "{{ [{'k': {'l': 2}}, {'k': {'l': 1}}] | groupby('k.l') | map('first') | list }}", "{{ [{'k': 2}, {'k': 'a'}] | groupby('k') }}", "{{ [] | groupby('k') }}", "{{ config.nothing | groupby('k') }}", "{{ [[1, 'a'], [0, 'b']] | groupby(0) }}",
    "{{ '%s, %s!' | format('a', 1) }}", "{{ '%(x)s-%(y)s' | format(x=1, y='b') }}", "{{ '%05d|%+d|% d|%-4d|' | format(42, 42, 42, 42) }}", "{{ '%.2f %f %8.3f' | format(1.005, 2, 3.14159) }}", "{{ '%e %E %.1e' | format(12345.678, 0.00012, 0) }}", "{{ '%g %g %g %g %.3g' | format(0.0001, 0.00001, 123456, 1234567, 2.5) }}", "{{ '%x %X %o %#x %#o' | format(255, 255, 8, 255, 8) }}", "{{ '%s %s %s %s' | format(none, true, [1, 'a'], {'k': 1.50}) }}", "{{ '%r %r' | format('a', 1) }}", "{{ '100%%' | format }}", "{{ '%d' | format(1.9) }}", "{{ '%d' | format(-1.9) }}", "{{ '%d' | format('a') }}", "{{ '%s' | format }}", "{{ 'a' | format(1) }}", "{{ '%' | format(1) }}", "{{ '%y' | format(1) }}", "{{ '%5s|%-5s|%.2s' | format('abc', 'abc', 'abc') }}", "{{ '%c%c' | format('a', 98) }}", "{{ '%(x)s' | format(1) }}", "{{ '%(x)s' | format(y=1) }}", "{{ '%d' | format(true) }}", "{{ '%.3d' | format(7) }}", "{{ '%06.2f' | format(-1.5) }}", "{{ '%x' | format(1.5) }}", "{{ '%d' | format(config.big) }}", "{{ 5 | format }}", "{{ '%f' | format(none) }}", "{{ '%s' | format(config.nothing) }}", "{{ ['%s', '%d'] | map('format', 7) | list }}", "{{ '%#g %#.3g' | format(1, 1.5) }}", "{{ '%G' | format(0.0000001) }}",
    "{{ '%s-%s' % (1, 'a') }}", "{{ '%s' % 5 }}", "{{ '%s' % [1, 2] }}", "{{ '%(a)s' % {'a': 1} }}", "{{ '%s' % {'a': 1} }}", "{{ '%s %s' % 5 }}", "{{ 'a' % 5 }}", "{{ '%03d' % config.n }}", "{{ '%s%%' % config.f }}", "{{ '%(b)s' % {'a': 1} }}", "{{ '%s' % (1, 2) }}", "{{ '%s' % none }}", "{{ '%s!' % config.nothing }}", "{{ 'a' % () }}",
    "{{ 'foo bar baz qux' | truncate(9) }}", "{{ 'foo bar baz qux' | truncate(9, true) }}", "{{ 'foo bar baz qux' | truncate(11) }}", "{{ 'foo bar baz qux' | truncate(11, false, '...', 0) }}", "{{ 'foobarbazqux' | truncate(5, leeway=0) }}", "{{ 'foo bar' | truncate(2) }}", "{{ 'foo bar baz' | truncate(4, end='', leeway=0) }}", "{{ 5 | truncate }}", "{{ 'äöü äöü äöü' | truncate(5, true, '…', 1) }}", "{{ config.s | truncate(3, killwords=true, leeway=0) }}",
    "{{ 'a\nb\n\nc' | indent }}", "{{ 'a\nb\n\nc' | indent(2, true) }}", "{{ 'a\nb\n\nc' | indent(1, blank=true) }}", "{{ 'a\nb' | indent('> ', first=true) }}", "{{ '' | indent(first=true) }}", "{{ 'x\n' | indent(2) ~ '|' }}", "{{ 5 | indent }}", "{{ '\n' | indent(3, true, true) ~ '|' }}",
    "{{ '<a href=\"x\">&\\'</a>' | escape }}", "{{ '<' | e }}", "{{ '<' | escape | escape }}", "{{ '<' | safe | escape }}", "{{ '<' | escape | forceescape }}", "{{ '<' | safe }}", "{{ 5 | safe }}", "{{ 5 | e }}", "{{ config.nothing | escape }}", "{{ config.nothing | safe }}", "{{ none | e }}", "{{ ['<', 1] | e }}", "{{ ['<'] | map('e') | join }}", "{{ config.words | e }}",
    "{{ config | attr('id') }}", "{{ config.s | attr('x') }}", "{{ config.z | attr('x') }}", "{{ config.nothing | attr('x') }}", "{{ now_utc() | attr('year') }}", "{{ now_utc() | attr('nothing') }}", "{{ today_utc() | attr('day') }}", "{{ config | attr('id') is defined }}",
    "{{ [1, 2, 3, 4, 5] | batch(2) | list }}", "{{ [1, 2, 3, 4, 5] | batch(2, 0) | list }}", "{{ [1, 2, 3, 4, 5] | batch(2, none) | list }}", "{{ 'abcde' | batch(3, 'x') | map('join') | list }}", "{{ [] | batch(2, 1) | list }}", "{{ [1, 2] | batch(0) | list }}", "{{ [1, 2] | batch(-1, 9) | list }}", "{{ config.d | batch(2) | list }}", "{{ config.nothing | batch(2) | list }}",
    "{{ [1, 2, 3, 4, 5] | slice(2) | list }}", "{{ [1, 2, 3, 4, 5] | slice(3, 'x') | list }}", "{{ [1, 2, 3, 4] | slice(2, 'x') | list }}", "{{ [1] | slice(3) | list }}", "{{ [1] | slice(0) | list }}", "{{ [1] | slice(-2) | list }}", "{{ 'abc' | slice(2) | list }}", "{{ [1] | slice('a') | list }}",
    "{{ config.d.list | join(',', attribute='k') }}", "{{ config.d.list | join(attribute='k') }}", "{{ config.d.list | join('-', 'x') }}", "{{ [[1, 2], [3, 4]] | join('+', attribute=1) }}", "{{ [1, 2] | join(',', none) }}",
    "{{ dict(a=1, b='x') }}", "{{ dict() }}", "{{ dict({'a': 1}, b=2) }}", "{{ dict({'a': 1}, a=2) }}", "{{ dict([('a', 1), ('b', 2)]) }}", "{{ dict([['a', 1]], a=3) }}", "{{ dict(a=1).a }}", "{{ dict(a=1).get('b', 5) }}", "{{ dict(5) }}", "{{ dict([1]) }}", "{{ dict(config.d, x=1) }}", "{{ dict(a=1) | tojson }}", "{{ dict(config.nothing) }}", "{{ dict(none) }}",
    "{{ [none, none] | sort }}", "{{ [none, 1] | sort }}", "{{ [3, 'b', none] | sort }}", "{{ [[1, 'a'], [1, 2]] | sort }}", "{{ [[2, 'a'], [1, 2]] | sort }}", "{{ [{'a': 1, 'b': 2}, {'a': 1, 'b': 1}, {'a': 0, 'b': 3}] | sort(attribute='a,b') }}", "{{ [{'k': 'b'}, {'k': 'A'}] | sort(true, attribute='k') }}", "{{ [true, 0, 0.5] | sort }}", "{{ 'hello' | sort }}", "{{ [9007199254740993, 9007199254740992.0] | sort }}",
    "{{ 9007199254740993 == 9007199254740992.0 }}", "{{ 9007199254740993 > 9007199254740992.0 }}", "{{ 12345678901234567890123 > 1.5 }}", "{{ [1, true, 1.0, 0, false, '1'] | unique | list }}", "{{ [9007199254740993, 9007199254740992.0] | unique | list }}", "{1, 1.0, True, 2}", "{{ 'a\x0bb\x1cc\r\nd' | indent(1) }}",
]
DATES = [
    "{{ now_utc() }}", "{{ today_utc() }}", "{{ now_utc().strftime('%Y-%m-%dT%H:%M:%SZ') }}", "{{ now_utc().strftime('%s') }}", "{{ today_utc().strftime('%Y-%m-%d') }}", "{{ day_delta(-1) }}", "{{ day_delta(25, format='%Y-%m-%d') }}",
    "{{ day_delta(-30, '%d/%m/%Y') }}", "{{ day_delta(0.5) }}", "{{ now_utc() - duration('P1D') }}", "{{ (now_utc() - duration('P6DT23H')).strftime('%Y-%m-%dT%H:%M:%SZ') }}", "{{ now_utc() + duration('P1M') }}", "{{ duration('P1Y2M') }}", "{{ duration('P1DT1H') }}",
    "{{ duration('PT0.5S') }}", "{{ today_utc() - duration('P1D') }}", "{{ today_utc() - duration('PT36H') }}", "{{ timestamp('2022-02-28') }}", "{{ timestamp(1658505815.223235) }}", "{{ timestamp('2022-02-28T10:00:00.5+01:00') }}", "{{ timestamp(12) }}",
    "{{ str_to_datetime('2022-01-14') }}", "{{ str_to_datetime('2022-01-01T13:45:30+02:00') }}", "{{ str_to_datetime('2022-01-14').strftime('%d') }}", "{{ str_to_datetime('20220114T101112') }}", "{{ str_to_datetime('2022-W03-5') }}", "{{ str_to_datetime('2022-014') }}",
    "{{ str_to_datetime('2022-01') }}", "{{ str_to_datetime('2022') }}", "{{ str_to_datetime('2022-01-14 10:11') }}", "{{ str_to_datetime('2022-01-14T24:00') }}", "{{ str_to_datetime('2022-01-14T10:11:12.123456789Z') }}", "{{ str_to_datetime('14.01.2022') }}", "{{ str_to_datetime('2022-01-14T10-0500') }}",
    "{{ format_datetime('2022-01-14T10:11:12Z', '%Y-%m-%d') }}", "{{ format_datetime('2022-01-14', '%s') }}", "{{ format_datetime('2022-01-14', '%ms') }}", "{{ format_datetime(1642155072, '%Y-%m-%dT%H:%M:%SZ') }}", "{{ format_datetime(1642155072123, '%Y-%m-%d', '%ms') }}",
    "{{ format_datetime('14/01/2022', '%Y-%m-%d', input_format='%d/%m/%Y') }}", "{{ format_datetime('14/01/2022', '%s', '%d/%m/%Y') }}", "{{ format_datetime(now_utc(), '%Y-%m-%d') }}", "{{ format_datetime('x', '%Y') }}", "{{ now_utc().isoformat() }}", "{{ today_utc().isoformat() }}", "{{ now_utc().year }}",
    "{{ now_utc().date() }}", "{{ now_utc().timestamp() }}", "{{ now_utc().weekday() }}", "{{ (now_utc() - str_to_datetime('2026-11-01')).days }}", "{{ now_utc() > str_to_datetime('2022-01-14') }}", "{{ now_utc() < today_utc() }}", "{{ max(str_to_datetime('2022-01-14'), now_utc()) }}",
    "{{ min(now_utc(), str_to_datetime('2022-01-14')) }}", "{{ duration('P1D') * 2 }}", "{{ duration('P2W').total_seconds() }}", "{{ now_utc() - now_utc() }}", "x {{ today_utc() }}", "{{ now_utc() ~ '' }}", "{{ sanitize_url('a b/c?d=é') }}", "{{ camel_case_to_snake_case('CamelCaseID') }}",
    "{{ duration('nonsense') }}", "{{ now_utc() + 1 }}", "{{ 'a' if now_utc() else 'b' }}", "{{ now_utc().strftime('%Y') | int + 1 }}", "{{ -duration('P1D') }}", "{{ now_utc() == now_utc() }}", "{{ now_utc().nonsense }}", "{{ (now_utc() + duration('P1D')) - now_utc() }}",
]
# Each of these with each operator, filter and test.
VALUES = ["1", "2.5", "-7", "'a'", "'12'", "''", "true", "none", "[1, 2]", "{'a': 1}", "config.nothing"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = [
    "int", "int(3)", "float", "float(0.5)", "string", "length", "count", "list", "default('d')", "d('d', true)", "first", "last", "join(',')", "lower", "upper", "capitalize", "title",
    "replace('a', 'b')", "trim", "abs", "tojson", "urlencode", "base64encode", "hash", "hash('md5')", "regex_search('a')",
]
TESTS = [
    "defined", "undefined", "none", "true", "false", "boolean", "integer", "float", "number", "string", "mapping", "sequence", "iterable", "odd", "even", "eq(1)", "in([1, 'a'])", "not none", "not defined",
]
STARTS, STOPS, STEPS = ["", "0", "1", "-2", "9"], ["", "0", "3", "-1", "9"], ["", "2", "-1", "-2"]
METHODS = {
    "'a,b,,c'": ["split(',')", "split(',', 1)", "split(',', -1)", "rsplit(',', 1)", "split('')", "split(';')", "split('b,')", "count(',')", "count('')", "find('b')", "find('z')", "replace(',', '')", "replace('', '-')", "replace(',', ';', 2)", "upper()", "startswith('a')", "startswith('')", "endswith('c')", "endswith(',c')", "join(['x', 'y'])", "join('xyz')", "join([])", "title()", "strip('ac')", "nonsense()"],
    "'  Mixed CASE text  '": ["split()", "split(' ')", "split(none, 1)", "rsplit()", "strip()", "lstrip()", "rstrip()", "lower()", "upper()", "capitalize()", "title()", "replace('  ', ' ')", "find('CASE')", "count(' ')", "startswith('  M')", "isdigit()", "zfill(22)"],
    "'-42'": ["zfill(5)", "zfill(1)", "isdigit()", "strip('-')", "lstrip('-').isdigit()", "split('-')", "replace('-', '')", "startswith('-')"],
    "'Straße ÄÖ'": ["upper()", "lower()", "title()", "capitalize()", "split('ß')", "find('Ö')", "replace('ß', 'ss')", "count('a')", "startswith('S')", "strip('SÖ')"],
    "''": ["split()", "split(',')", "strip()", "upper()", "isdigit()", "zfill(3)", "replace('', 'x')", "join(['a', 'b'])", "startswith('')", "find('')", "count('')", "title()"],
    "{'b': 1, 'a': [2], 'none': none}": ["get('b')", "get('z')", "get('z', 5)", "get('none')", "get('none', 5)", "keys() | list", "values() | list", "keys() | first", "items() | list", "items() | first", "items() | length", "get('a')[0]", "get('z', {}).get('y')", "get('a').get('b')", "keys() | join('/')"],
}
TEXTS_WITH = ["1.5", "2", "'3'", "'a'", "none", "true", "[1]", "{'k': 'v'}", "''", "config.nothing"]
AROUND = ["{{ %s }}{{ %s }}", "x{{ %s }}-{{ %s }}", "[{{ %s }}, {{ %s }}]", "'{{ %s }}{{ %s }}'", "{{ %s }}.{{ %s }}", "{{ %s }} {{ %s }}", "{'k': {{ %s }}, 'l': '{{ %s }}'}", "({{ %s }},{{ %s }})"]
TERNARIES = ["{{ 'yes' if %s else 'no' }}", "{{ %s if config.t }}", "{{ 1 if %s and config.t else 2 }}", "{{ not %s }}", "{{ %s or 'dflt' }}", "{{ [%s] }}", "{{ {'k': %s} }}", "{{ (%s, 1) }}", "{{ %s }}!"]
NUMBERS = ["0", "1", "-1", "007", "1.0", "10.50", "1e3", "1E-3", ".5", "5.", "1_0", "0x1f", "0b11", "0o7", "00", "-0", "+5", "1,000", "1.2.3", "1-2", "12 ", " 12", "12a", "9999999999999999999999", "1e999", "-.5", "--1", "1j", "Infinity", "0.1", "1__0", "0x", "1e", "0777", "1 000", "١"]
WRAPPERS = ["%s", "'%s'", '"%s"', "[%s]", "(%s)", "(%s,)", "{%s}", "{'a': %s}", "[%s, 'x']", "-%s", "%s # x", "%s,", "'a%s", "[[%s]]", "{%s: 1}"]
MOMENTS = ["now_utc()", "today_utc()", "str_to_datetime('2024-02-29')", "str_to_datetime('2023-12-31T23:59:59.5Z')", "str_to_datetime('2024-06-01T00:00:00+05:30')", "str_to_datetime('2024-01-31 10:20')"]
SPANS = ["P1D", "P1M", "P1Y", "PT1H", "P2W", "PT0.5S", "P1Y2M3DT4H5M6S", "-P1D", "P0D"]
PATTERNS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ", "%s", "%d/%m/%y %I:%M %p", "%j", "%B %b %A %a", "%z", "%H%%"]
INPUTS = ["'2024-02-29'", "'2024-02-29T10:11:12Z'", "'2024-02-29T10:11:12.345678+02:00'", "'2024-02-29 10:11:12'", "1709201472", "'1709201472'", "now_utc()", "'20240229'", "'29.02.2024'", "''"]


def systematic():
    for left, operator, right in itertools.product(VALUES, OPERATORS, VALUES):
        yield "{{ %s %s %s }}" % (left, operator, right)
    for value, name in itertools.product(VALUES, FILTERS):
        yield "{{ %s | %s }}" % (value, name)
    for value, name in itertools.product(VALUES, TESTS):
        yield "{{ %s is %s }}" % (value, name)
    for value, form in itertools.product(VALUES, TERNARIES):
        yield form % value
    for value, start, stop, step in itertools.product(["'abcdef'", "[1, 2, 3, 4, 5]"], STARTS, STOPS, STEPS):
        yield "{{ %s[%s:%s:%s] }}" % (value, start, stop, step)
    for value, index in itertools.product(["'abc'", "[1, 2]", "(3, 4)", "{'a': 1, 0: 2}", "config.nothing", "none", "5"], ["0", "-1", "5", "'a'", "none"]):
        yield "{{ %s[%s] }}" % (value, index)
    for value, calls in METHODS.items():
        for call in calls:
            yield "{{ (%s).%s }}" % (value, call) if value.startswith("{") else "{{ %s.%s }}" % (value, call)
    for form, one, other in itertools.product(AROUND, TEXTS_WITH, TEXTS_WITH[:6]):
        yield form % (one, other)
    for wrapper, number in itertools.product(WRAPPERS, NUMBERS):
        yield wrapper % number
    for moment in MOMENTS:
        yield "{{ %s }}" % moment
        for call in ["isoformat()", "date()", "timestamp()", "weekday()", "isoweekday()", "year", "month", "day", "hour", "minute", "second", "microsecond"]:
            yield "{{ %s.%s }}" % (moment, call)
        for pattern in PATTERNS:
            yield "{{ %s.strftime('%s') }}" % (moment, pattern)
        for span in SPANS:
            yield "{{ %s - duration('%s') }}" % (moment, span)
            yield "{{ (%s + duration('%s')).strftime('%%Y-%%m-%%d') }}" % (moment, span)
        for other in MOMENTS:
            yield "{{ %s - %s }}" % (moment, other)
            yield "{{ %s < %s }}" % (moment, other)
            yield "{{ %s == %s }}" % (moment, other)
            yield "{{ max(%s, %s) }}" % (moment, other)
    for span in SPANS:
        yield "{{ duration('%s') }}" % span
        yield "{{ duration('%s').days }}" % span
        yield "{{ duration('%s') * 3 }}" % span
        yield "{{ duration('%s') + duration('PT1S') }}" % span
    for given, pattern in itertools.product(INPUTS, PATTERNS):
        yield "{{ format_datetime(%s, '%s') }}" % (given, pattern)
    for given in INPUTS:
        yield "{{ timestamp(%s) }}" % given
        yield "{{ str_to_datetime(%s) }}" % given
    for days, pattern in itertools.product(["0", "1", "-1", "30", "-365", "0.25"], ["", ", '%Y-%m-%d'", ", format='%s'"]):
        yield "{{ day_delta(%s%s) }}" % (days, pattern)
    for arguments in ["1, 2", "2, 1.5", "'a', 'b'", "[3, 1]", "[]", "'abc'", "1, 'a'", "(4, 5)", "none, 1", "true, 2", "1"]:
        yield "{{ max(%s) }}" % arguments
        yield "{{ min(%s) }}" % arguments
    for text in ["CamelCase", "already_snake", "HTTPServerID", "a", "", "Mixed Case", "x1Y2", "ABC"]:
        yield "{{ camel_case_to_snake_case('%s') }}" % text
        yield "{{ sanitize_url('%s') }}" % text
    for text in ["https://x.example/a b?c=d&e=ü", "a/b", "100%", "~-_.!*'()".replace("'", ""), ";:@&=+$,#"]:
        yield "{{ sanitize_url('%s') }}" % text
        yield "{{ '%s' | urlencode }}" % text
        yield "{{ '%s' | base64encode }}" % text
        yield "{{ '%s' | hash('sha256') }}" % text
        yield "{{ '%s' | tojson }}" % text
    for pattern in ["(\\\\d+)", "a(b)?c", "^x", "\\\\w+$", "[a-c]+", "(?i)ABC", "z*", "b|c", "(a)(b)", "\\\\s"]:
        for text in ["abc 12", "ac", "xyz", ""]:
            yield "{{ '%s' | regex_search('%s') }}" % (text, pattern)


CONDITIONS = ["", "False", "false", "no", "0", "0.0", "0.00", "[]", "()", "{}", "None", "x", "{{ config.t }}", "{{ config.no }}", "{{ config.nothing }}", "{{ config.nothing.a }}", "{{ config.e }}", "{{ config.z }}", "{{ 0 }}", "{{ [] }}", "{{ 'no' }}", "{{ not config.e }}", "{{ config.n > 5 }}", "{{ {} }}", "{{ 'false' }}", "{{ ' ' }}", "set()"]


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if value is ...:
        return "..."
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def main():
    cases = []
    jinja = JinjaInterpolation()
    for text in dict.fromkeys([*LITERALS, *EXPRESSIONS, *SEQUENCES, *BUILT_IN, *DATES, *systematic()]):
        context = {"stream_slice": {}, "parameters": {"p": "param"}}
        try:
            value = jinja.eval(text, CONFIG, default=None, **context)
            kind = type(value).__name__
        except Exception as error:  # the kind of failure is what matters
            value, kind = None, "error:" + type(error).__name__
        cases.append({"template": text, "type": kind, "value": plain(value)})
    for text in CONDITIONS + ["{{ %s }}" % value for value in VALUES] + NUMBERS:
        value = InterpolatedBoolean(condition=text, parameters={"p": "param"}).eval(CONFIG)
        cases.append({"template": text, "type": "condition", "value": value})
    target = pathlib.Path(__file__).with_name("expressions.json")
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    target.write_text('{"now": ' + json.dumps(NOW.isoformat()) + ', "config": ' + json.dumps(CONFIG, ensure_ascii=False) + ',\n"cases": [\n' + lines + "\n]}\n")
    print(len(cases), "cases")


main()
