//! Polynomial expressions over a domain, and their evaluation in all of its rows.
//!
//! Invariant: the interface is that of the module `poly::evaluator` of `halo2_proofs`, as the rest of the library uses
//! it, and so are the results. Only columns can be borrowed here: a proof would otherwise copy all cosets of its keys.

mod expression;
mod program;

use super::{Basis, EvaluationDomain, ExtendedLagrangeCoeff, LagrangeCoeff, Polynomial, Rotation};
use crate::multicore;
use expression::{Graph, Value};
use ff::{Field, WithSmallOrderMulGroup};
use program::{Domain, Program};
use std::{
    collections::HashMap,
    fmt, iter,
    marker::PhantomData,
    ops::{Add, Mul, MulAssign, Neg, Sub},
    sync::Arc,
};

/// A column that an evaluator knows, in a row relative to the current one.
pub(crate) struct AstLeaf<E, B: Basis> {
    column: u32,
    rotation: Rotation,
    of: PhantomData<(E, B)>,
}

impl<E, B: Basis> Clone for AstLeaf<E, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, B: Basis> Copy for AstLeaf<E, B> {}

impl<E, B: Basis> fmt::Debug for AstLeaf<E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {} at {}", self.column, self.rotation.0)
    }
}

impl<E, B: Basis> AstLeaf<E, B> {
    /// The same column in another row, whatever the row of this one is.
    pub(crate) fn with_rotation(&self, rotation: Rotation) -> Self {
        Self { rotation, ..*self }
    }
}

/// The values of a column, which an evaluator has or borrows.
pub(crate) enum Column<'a, F, B> {
    Owned(Polynomial<F, B>),
    Borrowed(&'a Polynomial<F, B>),
}

impl<F, B> From<Polynomial<F, B>> for Column<'_, F, B> {
    fn from(values: Polynomial<F, B>) -> Self {
        Self::Owned(values)
    }
}

impl<'a, F, B> From<&'a Polynomial<F, B>> for Column<'a, F, B> {
    fn from(values: &'a Polynomial<F, B>) -> Self {
        Self::Borrowed(values)
    }
}

impl<F, B> Column<'_, F, B> {
    fn values(&self) -> &[F] {
        match self {
            Self::Owned(values) => values,
            Self::Borrowed(values) => values,
        }
    }
}

/// The columns that expressions refer to. The type `E` is the type of a closure, which no other evaluator has, so that
/// expressions cannot be evaluated over the columns of another.
pub(crate) struct Evaluator<'a, E, F: Field, B: Basis> {
    columns: Vec<Column<'a, F, B>>,
    of: PhantomData<E>,
}

/// Creates an evaluator without columns. Its argument is `|| {}`.
pub(crate) fn new_evaluator<'a, E: Fn() + Clone, F: Field, B: Basis>(_: E) -> Evaluator<'a, E, F, B> {
    Evaluator { columns: Vec::new(), of: PhantomData }
}

impl<'a, E, F: Field, B: Basis> Evaluator<'a, E, F, B> {
    /// Adds a column.
    pub(crate) fn register_poly(&mut self, column: impl Into<Column<'a, F, B>>) -> AstLeaf<E, B> {
        self.columns.push(column.into());
        let column = u32::try_from(self.columns.len() - 1).expect("fewer columns than bytes of memory");
        AstLeaf { column, rotation: Rotation::cur(), of: PhantomData }
    }

    /// Evaluates an expression in every row.
    pub(crate) fn evaluate(&self, ast: &Ast<E, F, B>, domain: &EvaluationDomain<F>) -> Polynomial<F, B>
    where
        F: WithSmallOrderMulGroup<3>,
        B: BasisOps,
    {
        let mut builder = Builder { graph: Graph::default(), shared: HashMap::new() };
        let result = builder.build(ast);
        let program = Program::new(&builder.graph, result);
        let (first_point, omega) = B::points(domain);
        let mut values = B::zero(domain);
        // Rows of the circuit are 2^s points apart, where s squarings of the basis's root give the circuit's root.
        let mut squarings = iter::successors(Some(omega), |root| Some(root.square())).take(F::S as usize);
        let squarings =
            squarings.position(|root| root == domain.get_omega()).expect("one domain is in the other");
        let domain = Domain {
            columns: self.columns.iter().map(Column::values).collect(),
            step: 1 << squarings,
            first_point,
            omega,
        };
        let chunk = values.len().div_ceil(multicore::current_num_threads());
        multicore::scope(|scope| {
            for (index, out) in values.chunks_mut(chunk).enumerate() {
                let (program, domain) = (&program, &domain);
                scope.spawn(move |_| {
                    let first = index * chunk;
                    program.run(domain, first..first + out.len(), out);
                });
            }
        });
        values
    }
}

/// A basis in which expressions are evaluated.
pub(crate) trait BasisOps: Basis {
    /// The polynomial zero.
    fn zero<F: WithSmallOrderMulGroup<3>>(domain: &EvaluationDomain<F>) -> Polynomial<F, Self>;

    /// The point of row 0, and the point of a row over that of the row before.
    fn points<F: WithSmallOrderMulGroup<3>>(domain: &EvaluationDomain<F>) -> (F, F);
}

impl BasisOps for LagrangeCoeff {
    fn zero<F: WithSmallOrderMulGroup<3>>(domain: &EvaluationDomain<F>) -> Polynomial<F, Self> {
        domain.empty_lagrange()
    }

    fn points<F: WithSmallOrderMulGroup<3>>(domain: &EvaluationDomain<F>) -> (F, F) {
        (F::ONE, domain.get_omega())
    }
}

impl BasisOps for ExtendedLagrangeCoeff {
    fn zero<F: WithSmallOrderMulGroup<3>>(domain: &EvaluationDomain<F>) -> Polynomial<F, Self> {
        domain.empty_extended()
    }

    fn points<F: WithSmallOrderMulGroup<3>>(domain: &EvaluationDomain<F>) -> (F, F) {
        // The extended domain is the coset by zeta, on which the vanishing polynomial has no zero.
        (F::ZETA, domain.get_extended_omega())
    }
}

/// A polynomial expression over the columns of an evaluator.
pub(crate) enum Ast<E, F: Field, B: Basis> {
    Leaf(AstLeaf<E, B>),
    Sum(Arc<(Self, Self)>),
    Product(Arc<(Self, Self)>),
    Scaled(Arc<Self>, F),
    /// Terms and the point at which they are folded by Horner's rule, the first one having the highest power.
    Folded(Arc<Vec<Self>>, F),
    /// The polynomial `X` times a factor.
    LinearTerm(F),
    ConstantTerm(F),
}

impl<E, F: Field, B: Basis> Clone for Ast<E, F, B> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(*leaf),
            Self::Sum(operands) => Self::Sum(Arc::clone(operands)),
            Self::Product(operands) => Self::Product(Arc::clone(operands)),
            Self::Scaled(value, factor) => Self::Scaled(Arc::clone(value), *factor),
            Self::Folded(terms, base) => Self::Folded(Arc::clone(terms), *base),
            Self::LinearTerm(factor) => Self::LinearTerm(*factor),
            Self::ConstantTerm(value) => Self::ConstantTerm(*value),
        }
    }
}

impl<E, F: Field, B: Basis> fmt::Debug for Ast<E, F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(leaf) => leaf.fmt(f),
            Self::Sum(operands) => write!(f, "({:?} + {:?})", operands.0, operands.1),
            Self::Product(operands) => write!(f, "{:?} * {:?}", operands.0, operands.1),
            Self::Scaled(value, factor) => write!(f, "{factor:?} * {value:?}"),
            Self::Folded(terms, base) => write!(f, "fold({terms:?} at {base:?})"),
            Self::LinearTerm(factor) => write!(f, "{factor:?} * X"),
            Self::ConstantTerm(value) => value.fmt(f),
        }
    }
}

impl<E, F: Field, B: Basis> Ast<E, F, B> {
    pub(crate) fn one() -> Self {
        Self::ConstantTerm(F::ONE)
    }

    /// Folds terms at a point by Horner's rule; the last one is the constant term.
    pub(crate) fn distribute_powers(terms: impl IntoIterator<Item = Self>, base: F) -> Self {
        Self::Folded(Arc::new(terms.into_iter().collect()), base)
    }
}

impl<E, F: Field, B: Basis> From<AstLeaf<E, B>> for Ast<E, F, B> {
    fn from(leaf: AstLeaf<E, B>) -> Self {
        Self::Leaf(leaf)
    }
}

impl<E, F: Field, B: Basis> Neg for Ast<E, F, B> {
    type Output = Self;

    fn neg(self) -> Self {
        self * -F::ONE
    }
}

impl<E, F: Field, B: Basis, T: Into<Self>> Add<T> for Ast<E, F, B> {
    type Output = Self;

    fn add(self, other: T) -> Self {
        Self::Sum(Arc::new((self, other.into())))
    }
}

impl<E, F: Field, B: Basis> Add for &Ast<E, F, B> {
    type Output = Ast<E, F, B>;

    fn add(self, other: Self) -> Ast<E, F, B> {
        self.clone() + other.clone()
    }
}

impl<E, F: Field, B: Basis, T: Into<Self>> Sub<T> for Ast<E, F, B> {
    type Output = Self;

    fn sub(self, other: T) -> Self {
        self + -other.into()
    }
}

impl<E, F: Field, B: Basis> Mul<F> for Ast<E, F, B> {
    type Output = Self;

    fn mul(self, factor: F) -> Self {
        Self::Scaled(Arc::new(self), factor)
    }
}

impl<E, F: Field, B: BasisOps> Mul for Ast<E, F, B> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::Product(Arc::new((self, other)))
    }
}

impl<E, F: Field, B: BasisOps> Mul<AstLeaf<E, B>> for Ast<E, F, B> {
    type Output = Self;

    fn mul(self, other: AstLeaf<E, B>) -> Self {
        self * Self::Leaf(other)
    }
}

impl<E, F: Field, B: BasisOps> MulAssign for Ast<E, F, B> {
    fn mul_assign(&mut self, other: Self) {
        *self = self.clone() * other;
    }
}

/// Turns expressions into a graph.
struct Builder<F> {
    graph: Graph<F>,
    /// The values of expressions that may be reached on several ways, by their address.
    shared: HashMap<usize, Value>,
}

impl<F: WithSmallOrderMulGroup<3>> Builder<F> {
    fn build<E, B: Basis>(&mut self, ast: &Ast<E, F, B>) -> Value {
        match ast {
            Ast::Leaf(leaf) => self.graph.column(leaf.column, leaf.rotation.0),
            Ast::ConstantTerm(value) => self.graph.constant(*value),
            Ast::LinearTerm(factor) => {
                let point = self.graph.point();
                self.graph.scale(*factor, point)
            }
            Ast::Scaled(value, factor) => {
                let value = self.build(value);
                self.graph.scale(*factor, value)
            }
            Ast::Folded(terms, base) => {
                let terms: Vec<Value> = terms.iter().map(|term| self.build(term)).collect();
                self.graph.fold_all(&terms, *base)
            }
            Ast::Sum(operands) => self.once(operands, |graph, a, b| graph.add(a, b)),
            Ast::Product(operands) => self.once(operands, |graph, a, b| graph.mul(a, b)),
        }
    }

    /// Builds an operation of two operands, unless that was done before. One pair of operands has one operation, since
    /// an expression makes the pair that it holds.
    fn once<E, B: Basis>(
        &mut self,
        operands: &Arc<(Ast<E, F, B>, Ast<E, F, B>)>,
        operation: impl FnOnce(&mut Graph<F>, Value, Value) -> Value,
    ) -> Value {
        let address = Arc::as_ptr(operands) as usize;
        if let Some(value) = self.shared.get(&address) {
            return *value;
        }
        let (a, b) = (self.build(&operands.0), self.build(&operands.1));
        let value = operation(&mut self.graph, a, b);
        self.shared.insert(address, value);
        value
    }
}
