//! Texts of the manifest with `{{ }}` in them, compiled once.
//!
//! The language's rule: render to text, then read the text as a Python literal if it is one. A template
//! that is one single expression and gives no text skips the detour, because its rendering would read
//! back as the same value.

use std::sync::Arc;

use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use serde_json::Value;

use super::eval::{Context, EvalError, evaluate};
use super::fuel::{Fuel, limited};
use super::literal::literal_eval;
use super::number;
use super::scope::{Place, Scope, Var};
use super::tree::{Node, compile};
use super::value::Val;

/// The most operators, dots and brackets of an expression. The longest of public manifests have some fifty.
const MAX_CHAIN: usize = 200;

const STATEMENT: &str = "a statement ({% %}); only expressions ({{ }}) are supported";

/// A compiled text.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// Where it stands in the manifest, for error messages.
    pub(crate) path: String,
    source: String,
    parts: Vec<Part>,
    fixed: Fixed,
    parameters: Arc<Value>,
}

/// The value of a text without expressions, read once.
#[derive(Debug, Clone)]
enum Fixed {
    /// There are expressions.
    No,
    Empty,
    Value(Box<Val<'static>>),
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Expression(Node),
}

impl Template {
    /// Compiles a text; `Err` says what is not supported.
    pub(crate) fn compile(
        source: &str,
        path: &str,
        parameters: &Arc<Value>,
        place: Place,
    ) -> Result<Template, String> {
        let mut template = Template {
            path: path.to_owned(),
            source: source.to_owned(),
            parts: Vec::new(),
            fixed: Fixed::No,
            parameters: Arc::clone(parameters),
        };
        // Jinja drops one line end at the end of a template.
        let body = source.strip_suffix('\n').unwrap_or(source);
        if !["{{", "{%", "{#"].iter().any(|mark| body.contains(mark)) {
            template.parts.push(Part::Text(body.to_owned()));
            template.fixed = if body.is_empty() {
                Fixed::Empty
            } else {
                Fixed::Value(Box::new(read_literal(Val::text(body))))
            };
            return Ok(template);
        }
        look_over(body).map_err(|message| {
            let begin = source.chars().take(60).collect::<String>();
            let dots = if begin.len() < source.len() {
                "..."
            } else {
                ""
            };
            format!("\"{begin}{dots}\" holds {message}")
        })?;
        let syntax = SyntaxConfig::default();
        let parsed = minijinja::machinery::parse(body, "expression", syntax)
            .map_err(|error| format!("\"{source}\" cannot be read: {}", syntax_message(&error)))?;
        let Stmt::Template(root) = &parsed else {
            return Err(format!("\"{source}\" is no template"));
        };
        for child in &root.children {
            let part = match child {
                Stmt::EmitRaw(raw) => Part::Text(raw.raw.to_owned()),
                Stmt::EmitExpr(expression) => {
                    let node = compile(&expression.expr, place)
                        .map_err(|message| format!("in \"{source}\": {message}"))?;
                    Part::Expression(node)
                }
                _ => return Err(format!("\"{source}\" holds {STATEMENT}")),
            };
            template.parts.push(part);
        }
        Ok(template)
    }

    /// The text as written in the manifest.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The text, if it holds no expression.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The typed value; `None` if it renders to nothing. Errors of undefined values are errors here.
    pub(crate) fn evaluate<'a>(&'a self, scope: &Scope<'a>) -> Result<Option<Val<'a>>, EvalError> {
        match &self.fixed {
            Fixed::No => {}
            Fixed::Empty => return Ok(None),
            Fixed::Value(value) => return Ok(Some(value.borrowed())),
        }
        if let [Part::Expression(node)] = self.parts.as_slice() {
            let fuel = Fuel::full();
            let value = evaluate(node, self.context(scope, &fuel))?;
            let is_empty_text = value.to_text_is_empty();
            if is_empty_text {
                return Ok(None);
            }
            return Ok(Some(match value.as_str() {
                Some(text) => {
                    limited(text.len())?;
                    read_literal(value)
                }
                None => normalised(value),
            }));
        }
        let text = self.render(scope)?;
        Ok(if text.is_empty() {
            None
        } else {
            Some(read_literal(Val::text(text)))
        })
    }

    /// The typed value, where a missing value leads to the default: `None` for empty and undefined.
    pub(crate) fn value<'a>(&'a self, scope: &Scope<'a>) -> Result<Option<Val<'a>>, EvalError> {
        match self.evaluate(scope) {
            Err(EvalError::Undefined(_)) => Ok(None),
            other => other,
        }
    }

    /// The value that the expression gives, not read as a literal: a text stays a text, and so does one with expressions in it.
    /// `None` for empty and undefined.
    pub(crate) fn untyped<'a>(&'a self, scope: &Scope<'a>) -> Result<Option<Val<'a>>, EvalError> {
        let fuel = Fuel::full();
        let value = match self.parts.as_slice() {
            [Part::Expression(node)] => evaluate(node, self.context(scope, &fuel)),
            _ => self.render(scope).map(Val::text),
        };
        match value {
            Err(EvalError::Undefined(_)) => Ok(None),
            other => other.map(|value| Some(value).filter(|value| !value.to_text_is_empty())),
        }
    }

    /// The rendered text, not read as a literal.
    pub(crate) fn render(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let fuel = Fuel::full();
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Expression(node) => {
                    let value = evaluate(node, self.context(scope, &fuel))?;
                    text.push_str(&fuel.text_of(&value)?);
                }
            }
            limited(text.len())?;
        }
        Ok(text)
    }

    /// A value for a place that needs a text (addresses, header values): typed first, as the language
    /// has it, and then written as Python would. Empty if it renders to nothing.
    pub(crate) fn text(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        match self.evaluate(scope)? {
            Some(value) => Ok(Fuel::full().text_of(&value)?.into_owned()),
            None => Ok(String::new()),
        }
    }

    /// A credential: quotes around the whole are taken off, but digits stay as they are written.
    pub(crate) fn credential(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let text = self.render(scope)?;
        let unquoted = match literal_eval(&text) {
            Some(value) => value.as_str().map(str::to_owned),
            None => None,
        };
        Ok(unquoted.unwrap_or(text))
    }

    /// A condition, by the language's list of false values. Undefined is false.
    pub(crate) fn condition(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        let Some(value) = self.value(scope)? else {
            return Ok(false);
        };
        Ok(match value.as_str() {
            Some(text) => !matches!(
                text,
                "" | "False" | "false" | "{}" | "[]" | "()" | "0" | "0.0"
            ),
            None => value.is_true(),
        })
    }

    fn context<'a, 's>(&'a self, scope: &'s Scope<'a>, fuel: &'s Fuel) -> Context<'a, 's> {
        Context {
            scope,
            parameters: &self.parameters,
            fuel,
        }
    }

    /// The expressions in it.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Node> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Expression(node) => Some(node),
        })
    }

    /// Whether an expression reads this variable.
    pub(crate) fn reads(&self, var: Var) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Expression(node) => reads(node, var),
        })
    }
}

impl Val<'_> {
    fn to_text_is_empty(&self) -> bool {
        match self {
            Val::Undefined => true,
            other => other.as_str().is_some_and(str::is_empty),
        }
    }
}

/// Refuses statements, and expressions with too many operators, dots and brackets: each may be a level of the tree, which is made,
/// walked and dropped by recursion, and the parser bounds the levels of brackets only. What is counted are the parser's own tokens,
/// so comments, raw blocks and quotes are what they are to it.
fn look_over(text: &str) -> Result<(), String> {
    let mut chain = 0;
    for token in tokenize(text, false, SyntaxConfig::default()) {
        // What is behind a mistake is not parsed.
        let Ok((token, _)) = token else { break };
        match token {
            Token::BlockStart => return Err(STATEMENT.to_owned()),
            Token::VariableStart => chain = 0,
            Token::Ident(name) => {
                if matches!(name, "and" | "or" | "not" | "if" | "is" | "in") {
                    chain += 1;
                }
            }
            Token::TemplateData(_)
            | Token::VariableEnd
            | Token::BlockEnd
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
            | Token::Comma
            | Token::Colon
            | Token::BracketClose
            | Token::ParenClose
            | Token::BraceClose => {}
            _ => chain += 1,
        }
        if chain > MAX_CHAIN {
            return Err(format!(
                "an expression that is too long: it has more than {MAX_CHAIN} operators, dots and brackets"
            ));
        }
    }
    Ok(())
}

/// A text as the literal that it is, or as it stands.
fn read_literal(text: Val<'_>) -> Val<'_> {
    text.as_str().and_then(literal_eval).unwrap_or(text)
}

/// A number in the text that its rendering would read back as.
fn normalised(value: Val<'_>) -> Val<'_> {
    if let Val::Dated(dated) = &value {
        return read_literal(Val::text(dated.to_text()));
    }
    let Some(Value::Number(number)) = value.as_json() else {
        return value;
    };
    let text = number::text(number);
    if text == number.as_str() {
        return value;
    }
    number::parse(&text).map_or(value, |number| Val::json(Value::Number(number)))
}

fn syntax_message(error: &minijinja::Error) -> String {
    error
        .detail()
        .map_or_else(|| error.to_string(), str::to_owned)
}

fn reads(node: &Node, var: Var) -> bool {
    let any = |nodes: &[Node]| nodes.iter().any(|node| reads(node, var));
    let optional = |node: &Option<Box<Node>>| node.as_ref().is_some_and(|node| reads(node, var));
    match node {
        Node::Const(_) => false,
        Node::Var(own) => *own == var,
        Node::List(nodes) | Node::Tuple(nodes) => any(nodes),
        Node::Function(_, arguments) => arguments.iter().flatten().any(|node| reads(node, var)),
        Node::Dict(pairs) => pairs
            .iter()
            .any(|(key, value)| reads(key, var) || reads(value, var)),
        Node::Attribute(of, _) | Node::Not(of) | Node::Negate(of) => reads(of, var),
        Node::Item(left, right)
        | Node::And(left, right)
        | Node::Or(left, right)
        | Node::Arithmetic(_, left, right)
        | Node::Concat(left, right) => reads(left, var) || reads(right, var),
        Node::Slice {
            of,
            start,
            stop,
            step,
        } => reads(of, var) || optional(start) || optional(stop) || optional(step),
        Node::Compare(first, links) => {
            reads(first, var) || links.iter().any(|(_, node)| reads(node, var))
        }
        Node::If {
            condition,
            then,
            otherwise,
        } => reads(condition, var) || reads(then, var) || optional(otherwise),
        Node::Filter(_, of, arguments) => {
            let named = arguments.named.iter().any(|(_, node)| reads(node, var));
            reads(of, var) || any(&arguments.positional) || named
        }
        Node::Each(each, of) => {
            reads(of, var) || each.nodes().into_iter().any(|node| reads(node, var))
        }
        Node::Test(_, of, nodes) | Node::Method(_, of, nodes) => reads(of, var) || any(nodes),
    }
}
