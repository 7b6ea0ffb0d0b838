//! Expressions as a tree of our own, made once at load from minijinja's parser.
//!
//! Every filter, test, method, function and variable is looked up here, so an unknown one is refused
//! when the manifest is loaded. minijinja's own evaluator is not used: it has no hook for Python's
//! rules (literal text, numbers by their digits, `a + b` of other types), and its values would have to
//! be copied from and to JSON.

use std::sync::Arc;

use minijinja::machinery::ast::{
    self, BinOpKind, CallArg, CallType, CompareOpKind, Expr, UnaryOpKind,
};
use serde_json::Value;

use super::checks::{self, Test};
use super::filters::Filter;
use super::functions::Function;
use super::methods::{self, Method};
use super::number::{self, Arithmetic};
use super::pattern::Pattern;
use super::scope::{Place, Var};
use super::sequences::{self, Each};

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Const(Value),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Dict(Vec<(Node, Node)>),
    Var(Var),
    Attribute(Box<Node>, String),
    Item(Box<Node>, Box<Node>),
    Slice {
        of: Box<Node>,
        start: Option<Box<Node>>,
        stop: Option<Box<Node>>,
        step: Option<Box<Node>>,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Concat(Box<Node>, Box<Node>),
    /// `a < b < c`: each operator with its right side.
    Compare(Box<Node>, Vec<(Comparison, Node)>),
    If {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
    Filter(Filter, Box<Node>, Arguments),
    /// A filter that goes through a sequence.
    Each(Box<Each>, Box<Node>),
    Test(Test, Box<Node>, Vec<Node>),
    Method(Method, Box<Node>, Vec<Node>),
    /// The arguments in the order of the function's parameters; `None` where one is left out.
    Function(Function, Vec<Option<Node>>),
}

/// The arguments of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    pub(crate) positional: Vec<Node>,
    pub(crate) named: Vec<(String, Node)>,
    /// The first argument of a filter that takes a regular expression, if it is a constant.
    pub(crate) pattern: Option<Arc<Pattern>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// Translates a parsed expression; `Err` names what is not supported. It recurses by as many levels as the tree has, so what makes
/// long chains is in functions of its own: their frames on the stack stay small.
pub(crate) fn compile(expression: &Expr<'_>, place: Place) -> Result<Node, String> {
    match expression {
        Expr::BinOp(binary) => {
            let left = Box::new(compile(&binary.left, place)?);
            let right = Box::new(compile(&binary.right, place)?);
            Ok(binary_node(binary.op, left, right))
        }
        Expr::UnaryOp(unary) => {
            let of = Box::new(compile(&unary.expr, place)?);
            Ok(match unary.op {
                UnaryOpKind::Not => Node::Not(of),
                UnaryOpKind::Neg => Node::Negate(of),
            })
        }
        Expr::Filter(filter) => filter_node(filter, place),
        other => compile_other(other, place),
    }
}

fn compile_other(expression: &Expr<'_>, place: Place) -> Result<Node, String> {
    let compile_box = |part: &Expr<'_>| compile(part, place).map(Box::new);
    let compile_all = |parts: &[Expr<'_>]| -> Result<Vec<Node>, String> {
        parts.iter().map(|part| compile(part, place)).collect()
    };
    let optional = |part: &Option<Expr<'_>>| part.as_ref().map(compile_box).transpose();
    Ok(match expression {
        Expr::Var(var) => Node::Var(variable(var.id, place)?),
        Expr::Const(constant) => Node::Const(constant_value(&constant.value)?),
        Expr::List(list) => Node::List(compile_all(&list.items)?),
        Expr::Tuple(tuple) => Node::Tuple(compile_all(&tuple.items)?),
        Expr::Map(map) => {
            let mut members = Vec::with_capacity(map.keys.len());
            for (key, value) in map.keys.iter().zip(&map.values) {
                members.push((compile(key, place)?, compile(value, place)?));
            }
            Node::Dict(members)
        }
        Expr::Slice(slice) => Node::Slice {
            of: compile_box(&slice.expr)?,
            start: optional(&slice.start)?,
            stop: optional(&slice.stop)?,
            step: optional(&slice.step)?,
        },
        Expr::Compare(chain) => {
            let first = compile_box(&chain.expr)?;
            let mut rest = Vec::with_capacity(chain.ops.len());
            for link in &chain.ops {
                rest.push((comparison(link.op), compile(&link.expr, place)?));
            }
            Node::Compare(first, rest)
        }
        Expr::IfExpr(choice) => Node::If {
            condition: compile_box(&choice.test_expr)?,
            then: compile_box(&choice.true_expr)?,
            otherwise: optional(&choice.false_expr)?,
        },
        Expr::Test(test) => {
            let arguments = positional(&test.args, place, test.name)?;
            let known = Test::by_name(test.name, arguments.len())?;
            if let (Test::SameAs, Some(Node::Const(other))) = (known, arguments.first())
                && !(other.is_null() || other.is_boolean())
            {
                return Err(checks::SINGLE.to_owned());
            }
            Node::Test(known, compile_box(&test.expr)?, arguments)
        }
        Expr::GetAttr(attribute) => {
            if methods::is_dict_method(attribute.name) {
                return Err(format!(
                    "\".{0}\" is the method of a dict; write ['{0}'] for a member of that name",
                    attribute.name
                ));
            }
            let of = compile_box(&attribute.expr)?;
            if let (Node::Var(Var::StreamSlice), Some(part)) =
                (of.as_ref(), Var::of_slice(attribute.name))
            {
                return Ok(Node::Var(part));
            }
            Node::Attribute(of, attribute.name.to_owned())
        }
        // These are translated above.
        Expr::BinOp(_) | Expr::UnaryOp(_) | Expr::Filter(_) => compile(expression, place)?,
        Expr::GetItem(item) => {
            Node::Item(compile_box(&item.expr)?, compile_box(&item.subscript_expr)?)
        }
        Expr::Call(call) => match call.identify_call() {
            CallType::Function(name) => {
                let arguments = arguments(&call.args, place)?;
                if name == "json_loads" && !place.has(Var::JsonLoads) {
                    return Err(
                        "the function \"json_loads\" exists in a JwtAuthenticator only".to_owned(),
                    );
                }
                if name == "dict" {
                    return dict(arguments);
                }
                let (function, arguments) = Function::compile(name, arguments)?;
                Node::Function(function, arguments)
            }
            CallType::Method(receiver, name) => {
                let arguments = positional(&call.args, place, name)?;
                let method = Method::by_name(name, arguments.len())?;
                Node::Method(method, compile_box(receiver)?, arguments)
            }
            CallType::Object(_) => {
                return Err("a call of something that is neither method nor function".to_owned());
            }
        },
    })
}

/// `dict(a=1)`, `dict(other, a=1)`, `dict(pairs)`.
fn dict(arguments: Arguments) -> Result<Node, String> {
    let named = arguments.named.into_iter();
    let named: Vec<(Node, Node)> = named
        .map(|(name, node)| (Node::Const(Value::String(name)), node))
        .collect();
    let mut positional = arguments.positional.into_iter();
    match (positional.next(), positional.next()) {
        (None, _) => Ok(Node::Dict(named)),
        (Some(first), None) => Ok(Node::Function(
            Function::Dict,
            vec![Some(first), Some(Node::Dict(named))],
        )),
        _ => Err("the function \"dict\" takes at most 1 argument without a name".to_owned()),
    }
}

fn filter_node(filter: &ast::Filter<'_>, place: Place) -> Result<Node, String> {
    let Some(input) = &filter.expr else {
        return Err("a filter needs a value before it".to_owned());
    };
    let input = Box::new(compile(input, place)?);
    let mut arguments = arguments(&filter.args, place)?;
    if sequences::NAMES.contains(&filter.name) {
        let each = Each::compile(filter.name, arguments)?;
        return Ok(Node::Each(Box::new(each), input));
    }
    let known = Filter::by_name(filter.name)?;
    known.check(&mut arguments)?;
    if known == Filter::Attribute
        && let Some(Node::Const(Value::String(name))) = arguments.positional.first()
    {
        if methods::is_method(name) {
            return Err(format!("attr(\"{name}\") is a method; call it: .{name}()"));
        }
        if let (Node::Var(Var::StreamSlice), Some(part)) = (input.as_ref(), Var::of_slice(name)) {
            return Ok(Node::Var(part));
        }
    }
    // What is safe is not escaped again.
    let is_safe = matches!(
        input.as_ref(),
        Node::Filter(
            Filter::Escape | Filter::ForceEscape | Filter::Safe | Filter::ToJson,
            ..
        )
    );
    if known == Filter::Escape && is_safe {
        return Ok(*input);
    }
    Ok(Node::Filter(known, input, arguments))
}

fn variable(name: &str, place: Place) -> Result<Var, String> {
    if name == "stream_state" {
        return Err(
            "the variable \"stream_state\" is no longer part of the language; use stream_interval"
                .to_owned(),
        );
    }
    match Var::by_name(name) {
        Some(var) if place.has(var) => Ok(var),
        _ => Err(format!(
            "the variable \"{name}\" does not exist here; available here: {}",
            place.names()
        )),
    }
}

fn constant_value(value: &minijinja::Value) -> Result<Value, String> {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Ok(Value::Null),
        ValueKind::Bool => Ok(Value::Bool(value.is_true())),
        ValueKind::String => Ok(Value::String(value.as_str().unwrap_or_default().to_owned())),
        ValueKind::Number if value.is_integer() => number::parse(&value.to_string())
            .map(Value::Number)
            .ok_or_else(|| format!("the number {value} cannot be read")),
        ValueKind::Number => f64::try_from(value.clone())
            .ok()
            .and_then(number::from_float)
            .ok_or_else(|| format!("the number {value} cannot be read")),
        other => Err(format!("a constant of kind {other} is not supported")),
    }
}

fn binary_node(kind: BinOpKind, left: Box<Node>, right: Box<Node>) -> Node {
    let compare = |operator: Comparison, left: Box<Node>, right: Box<Node>| {
        Node::Compare(left, vec![(operator, *right)])
    };
    let arithmetic = Node::Arithmetic;
    match kind {
        BinOpKind::ScAnd => Node::And(left, right),
        BinOpKind::ScOr => Node::Or(left, right),
        BinOpKind::Add => arithmetic(Arithmetic::Add, left, right),
        BinOpKind::Sub => arithmetic(Arithmetic::Subtract, left, right),
        BinOpKind::Mul => arithmetic(Arithmetic::Multiply, left, right),
        BinOpKind::Div => arithmetic(Arithmetic::Divide, left, right),
        BinOpKind::FloorDiv => arithmetic(Arithmetic::FloorDivide, left, right),
        BinOpKind::Rem => arithmetic(Arithmetic::Remainder, left, right),
        BinOpKind::Concat => Node::Concat(left, right),
        BinOpKind::Eq => compare(Comparison::Equal, left, right),
        BinOpKind::Ne => compare(Comparison::NotEqual, left, right),
        BinOpKind::Lt => compare(Comparison::Less, left, right),
        BinOpKind::Lte => compare(Comparison::LessOrEqual, left, right),
        BinOpKind::Gt => compare(Comparison::Greater, left, right),
        BinOpKind::Gte => compare(Comparison::GreaterOrEqual, left, right),
        BinOpKind::In => compare(Comparison::In, left, right),
        BinOpKind::Pow => arithmetic(Arithmetic::Power, left, right),
    }
}

fn comparison(kind: CompareOpKind) -> Comparison {
    match kind {
        CompareOpKind::Eq => Comparison::Equal,
        CompareOpKind::Ne => Comparison::NotEqual,
        CompareOpKind::Lt => Comparison::Less,
        CompareOpKind::Lte => Comparison::LessOrEqual,
        CompareOpKind::Gt => Comparison::Greater,
        CompareOpKind::Gte => Comparison::GreaterOrEqual,
        CompareOpKind::In => Comparison::In,
        CompareOpKind::NotIn => Comparison::NotIn,
    }
}

fn arguments(arguments: &[CallArg<'_>], place: Place) -> Result<Arguments, String> {
    let mut result = Arguments::default();
    for argument in arguments {
        match argument {
            CallArg::Pos(value) => result.positional.push(compile(value, place)?),
            CallArg::Kwarg(name, value) => {
                result
                    .named
                    .push(((*name).to_owned(), compile(value, place)?));
            }
            CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                return Err("\"*\" before an argument is not supported".to_owned());
            }
        }
    }
    Ok(result)
}

fn positional(list: &[CallArg<'_>], place: Place, name: &str) -> Result<Vec<Node>, String> {
    let arguments = arguments(list, place)?;
    match arguments.named.first() {
        None => Ok(arguments.positional),
        Some((argument, _)) => Err(format!(
            "\"{name}\" does not take the argument \"{argument}=\" here; give it by position"
        )),
    }
}
