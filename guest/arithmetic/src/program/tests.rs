//! Programs compute what expressions say.

use super::*;
use ff::Field;
use pasta_curves::{Fp, Fq};
use proptest::prelude::*;

/// An expression as it is written down, with everything twice that is there twice.
#[derive(Clone, Debug)]
enum Expression {
    Constant(i64),
    Column(u32, i32),
    Point,
    Add(Box<Self>, Box<Self>),
    Sub(Box<Self>, Box<Self>),
    Mul(Box<Self>, Box<Self>),
    Scale(i64, Box<Self>),
    Fold(i64, Vec<Self>),
    /// Folds products with a common factor, and others.
    Gate(i64, Box<Self>, Vec<(bool, Self)>),
}

const COLUMNS: u32 = 3;

/// Numbers for which nodes are simplified, and others.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![-2i64..4, any::<i64>()]
}

fn expression() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        number().prop_map(Expression::Constant),
        (0..COLUMNS, -9i32..9).prop_map(|(column, rotation)| Expression::Column(column, rotation)),
        Just(Expression::Point),
    ];
    leaf.prop_recursive(6, 60, 4, |inner| {
        let two = || (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            two().prop_map(|(a, b)| Expression::Add(a, b)),
            two().prop_map(|(a, b)| Expression::Sub(a, b)),
            two().prop_map(|(a, b)| Expression::Mul(a, b)),
            (number(), inner.clone()).prop_map(|(factor, a)| Expression::Scale(factor, Box::new(a))),
            (number(), prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(base, terms)| Expression::Fold(base, terms)),
            (number(), inner.clone().prop_map(Box::new), prop::collection::vec((any::<bool>(), inner), 0..6))
                .prop_map(|(base, factor, terms)| Expression::Gate(base, factor, terms)),
        ]
    })
}

fn field<F: PrimeField>(number: i64) -> F {
    let magnitude = F::from(number.unsigned_abs());
    if number < 0 { -magnitude } else { magnitude }
}

impl Expression {
    /// Evaluates the expression in one row, as it is written.
    fn at<F: PrimeField>(&self, domain: &Domain<'_, F>, row: usize) -> F {
        match self {
            Self::Constant(value) => field(*value),
            Self::Column(column, rotation) => {
                let column = domain.columns[*column as usize];
                let row = row as i64 + i64::from(*rotation) * domain.step as i64;
                column[row.rem_euclid(column.len() as i64) as usize]
            }
            Self::Point => domain.first_point * domain.omega.pow_vartime([row as u64]),
            Self::Add(a, b) => a.at(domain, row) + b.at(domain, row),
            Self::Sub(a, b) => a.at(domain, row) + b.at(domain, row) * -F::ONE,
            Self::Mul(a, b) => a.at(domain, row) * b.at(domain, row),
            Self::Scale(factor, a) => a.at(domain, row) * field::<F>(*factor),
            Self::Fold(base, terms) => {
                terms.iter().fold(F::ZERO, |sum, term| sum * field::<F>(*base) + term.at(domain, row))
            }
            Self::Gate(base, factor, terms) => terms.iter().fold(F::ZERO, |sum, (is_guarded, term)| {
                let term = term.at(domain, row);
                let term = if *is_guarded { factor.at(domain, row) * term } else { term };
                sum * field::<F>(*base) + term
            }),
        }
    }

    fn build<F: PrimeField>(&self, graph: &mut Graph<F>) -> Value {
        match self {
            Self::Constant(value) => graph.constant(field(*value)),
            Self::Column(column, rotation) => graph.column(*column, *rotation),
            Self::Point => graph.point(),
            Self::Add(a, b) => {
                let (a, b) = (a.build(graph), b.build(graph));
                graph.add(a, b)
            }
            // As negation and addition, which is how differences arrive.
            Self::Sub(a, b) => {
                let (a, b) = (a.build(graph), b.build(graph));
                let negated = graph.scale(-F::ONE, b);
                graph.add(a, negated)
            }
            Self::Mul(a, b) => {
                let (a, b) = (a.build(graph), b.build(graph));
                graph.mul(a, b)
            }
            Self::Scale(factor, a) => {
                let a = a.build(graph);
                graph.scale(field(*factor), a)
            }
            Self::Fold(base, terms) => {
                let terms: Vec<Value> = terms.iter().map(|term| term.build(graph)).collect();
                graph.fold_all(&terms, field(*base))
            }
            Self::Gate(base, factor, terms) => {
                let factor = factor.build(graph);
                let mut product = |(is_guarded, term): &(bool, Self)| {
                    let term = term.build(graph);
                    if *is_guarded { graph.mul(factor, term) } else { term }
                };
                let terms: Vec<Value> = terms.iter().map(&mut product).collect();
                graph.fold_all(&terms, field(*base))
            }
        }
    }
}

/// Compares the program with the expression in every row; the rows are split at `cut`.
fn agrees<F: PrimeField>(expression: &Expression, rows: usize, step: usize, cut: usize, seed: u64) {
    let mut state = F::from(seed) + F::MULTIPLICATIVE_GENERATOR;
    let columns: Vec<Vec<F>> = (0..COLUMNS)
        .map(|_| {
            (0..rows)
                .map(|row| {
                    state = state.square() + F::from(row as u64);
                    // Columns of circuits are mostly zeros and ones.
                    if row % 3 == 0 { F::from((row % 2) as u64) } else { state }
                })
                .collect()
        })
        .collect();
    let domain = Domain {
        columns: columns.iter().map(Vec::as_slice).collect(),
        step,
        first_point: F::MULTIPLICATIVE_GENERATOR,
        omega: F::ROOT_OF_UNITY,
    };
    let mut graph = Graph::default();
    let result = expression.build(&mut graph);
    let program = Program::new(&graph, result);
    let mut out = vec![F::ZERO; rows];
    let (head, tail) = out.split_at_mut(cut);
    program.run(&domain, 0..cut, head);
    program.run(&domain, cut..rows, tail);
    for (row, value) in out.iter().enumerate() {
        assert_eq!(*value, expression.at(&domain, row), "row {row}");
    }
}

proptest! {
    #[test]
    fn a_program_computes_what_the_expression_says(
        expression in expression(), k in 0u32..10, step_log in 0u32..3, cut: prop::sample::Index, seed: u64,
    ) {
        let rows = 1 << k;
        agrees::<Fp>(&expression, rows, 1 << step_log, cut.index(rows), seed);
        agrees::<Fq>(&expression, rows, 1 << step_log, cut.index(rows), seed);
    }
}

#[test]
fn what_is_there_twice_is_computed_once() {
    let mut graph = Graph::<Fp>::default();
    let (a, b) = (graph.column(0, 0), graph.column(1, -1));
    let products = [graph.mul(a, b), graph.mul(b, a)];
    assert_eq!(products[0], products[1]);
    let difference = graph.sub(products[0], products[1]);
    assert_eq!(difference, graph.constant(Fp::ZERO));
    let sum = graph.add(products[0], products[1]);
    let program = Program::new(&graph, sum);
    assert_eq!((program.instructions.len(), program.registers), (2, 2));
}

#[test]
fn the_selector_of_a_gate_is_multiplied_once() {
    let mut graph = Graph::<Fp>::default();
    let selector = graph.column(0, 0);
    let terms: Vec<Value> = (1..6).map(|column| graph.column(column, 0)).collect();
    let other = graph.column(6, 1);
    let guarded: Vec<Value> = terms.iter().map(|term| graph.mul(selector, *term)).chain([other]).collect();
    let folded = graph.fold_all(&guarded, Fp::from(3));
    // Four steps within the gate, the product, and one step for what follows it.
    assert_eq!(Program::new(&graph, folded).instructions.len(), 6);
}

#[test]
fn many_gates_need_no_more_registers_than_one() {
    let registers = |gates: u32| {
        let mut graph = Graph::<Fp>::default();
        let mut terms = Vec::new();
        for gate in 0..gates {
            let selector = graph.column(10 * gate, 0);
            for constraint in 1..6 {
                let (a, b) =
                    (graph.column(10 * gate + constraint, 0), graph.column(10 * gate + constraint, 1));
                let difference = graph.sub(a, b);
                let square = graph.mul(difference, difference);
                terms.push(graph.mul(selector, square));
            }
        }
        let folded = graph.fold_all(&terms, Fp::from(3));
        Program::new(&graph, folded).registers
    };
    assert_eq!(registers(200), registers(2));
}
