//! Evaluates a graph of polynomials in every row of a domain.
//!
//! An interpreter that walks an expression for all rows at once allocates a vector for every node and streams each
//! through memory. A program evaluates a few rows at a time instead: intermediate values stay in the processor's cache,
//! columns are read in place, and a register is used again once nobody needs its value.
//!
//! Invariant: the result of a row depends on the columns and on the row alone, not on the block that the row is in.

use super::expression::{Constant, Graph, Node, Value};
use ff::PrimeField;
use std::{mem, ops::Range};

/// Rows that are evaluated together. A register of them takes 4 KiB.
const BLOCK: usize = 128;

/// The columns, and the domain that they are values over.
pub struct Domain<'a, F> {
    /// The columns, of one length, which is a power of two.
    pub columns: Vec<&'a [F]>,
    /// Number of rows of the domain between two rows of the circuit.
    pub step: usize,
    /// The point of row 0.
    pub first_point: F,
    /// The point of a row over that of the row before.
    pub omega: F,
}

/// Where an operand is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Register(usize),
    Column { column: usize, rotation: i32 },
    Point,
}

#[derive(Debug)]
enum Operation<F> {
    Constant(F),
    Add(Place, Place),
    Sub(Place, Place),
    Mul(Place, Place),
    Square(Place),
    Plus(F, Place),
    Minus(F, Place),
    Scale(F, Place),
    Fold(Place, F, Place),
}

/// One operation for all rows of a block, and the register that it writes, which is none of its operands.
#[derive(Debug)]
struct Instruction<F> {
    into: usize,
    operation: Operation<F>,
}

/// The instructions that compute one value of a graph.
#[derive(Debug)]
pub struct Program<F> {
    instructions: Vec<Instruction<F>>,
    registers: usize,
    result: Place,
    has_points: bool,
}

impl<F: PrimeField> Program<F> {
    /// Compiles the computation of a value.
    #[must_use]
    pub fn new(graph: &Graph<F>, result: Value) -> Self {
        let mut uses = count_uses(graph, result);
        let mut places: Vec<Option<Place>> = vec![None; graph.nodes.len()];
        let mut program =
            Self { instructions: Vec::new(), registers: 0, result: Place::Point, has_points: false };
        let mut free = Vec::new();
        for index in order(graph, result) {
            let node = graph.nodes[index];
            let constant = |constant: Constant| graph.constants[constant.0 as usize];
            let place = |value: Value| places[value.0 as usize].expect("operands come before their node");
            let operation = match node {
                Node::Column { column, rotation } => {
                    places[index] = Some(Place::Column { column: column as usize, rotation });
                    continue;
                }
                Node::Point => {
                    program.has_points = true;
                    places[index] = Some(Place::Point);
                    continue;
                }
                Node::Constant(value) => Operation::Constant(constant(value)),
                Node::Add(a, b) => Operation::Add(place(a), place(b)),
                Node::Sub(a, b) => Operation::Sub(place(a), place(b)),
                Node::Mul(a, b) => Operation::Mul(place(a), place(b)),
                Node::Square(a) => Operation::Square(place(a)),
                Node::Plus(summand, a) => Operation::Plus(constant(summand), place(a)),
                Node::Minus(minuend, a) => Operation::Minus(constant(minuend), place(a)),
                Node::Scale(factor, a) => Operation::Scale(constant(factor), place(a)),
                Node::Fold(sum, base, term) => Operation::Fold(place(sum), constant(base), place(term)),
            };
            let into = free.pop().unwrap_or_else(|| {
                program.registers += 1;
                program.registers - 1
            });
            program.instructions.push(Instruction { into, operation });
            places[index] = Some(Place::Register(into));
            for operand in node.operands() {
                let uses = &mut uses[operand.0 as usize];
                *uses -= 1;
                if let (0, Some(Place::Register(register))) = (*uses, places[operand.0 as usize]) {
                    free.push(register);
                }
            }
        }
        program.result = places[result.0 as usize].expect("the result has a place");
        program
    }

    /// Evaluates rows of the domain.
    ///
    /// # Panics
    /// Panics if `out` has another length than `rows`, or a column of the graph is missing.
    pub fn run(&self, domain: &Domain<'_, F>, rows: Range<usize>, out: &mut [F]) {
        assert_eq!(rows.len(), out.len());
        let mut point = if self.has_points {
            domain.first_point * domain.omega.pow_vartime([rows.start as u64])
        } else {
            F::ZERO
        };
        let mut block = Block {
            domain,
            start: rows.start,
            len: 0,
            registers: vec![vec![F::ZERO; BLOCK]; self.registers],
            points: vec![F::ZERO; BLOCK],
        };
        let mut wrapped = [vec![F::ZERO; BLOCK], vec![F::ZERO; BLOCK]];
        for out in out.chunks_mut(BLOCK) {
            block.len = out.len();
            if self.has_points {
                for place in &mut block.points[..out.len()] {
                    *place = point;
                    point *= domain.omega;
                }
            }
            for instruction in &self.instructions {
                block.execute(instruction, &mut wrapped);
            }
            out.copy_from_slice(block.read(self.result, &mut wrapped[0]));
            block.start += out.len();
        }
    }
}

/// Returns the nodes that the result needs, each after its operands. What one operand needs comes right before it, so that
/// few values are kept at a time.
fn order<F>(graph: &Graph<F>, result: Value) -> Vec<usize> {
    enum Step {
        Enter(Value),
        Leave(usize),
    }
    let mut order = Vec::new();
    let mut is_seen = vec![false; graph.nodes.len()];
    let mut steps = vec![Step::Enter(result)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Leave(index) => order.push(index),
            Step::Enter(value) => {
                let index = value.0 as usize;
                if !is_seen[index] {
                    is_seen[index] = true;
                    steps.push(Step::Leave(index));
                    // The last one that is pushed comes first.
                    let operands: Vec<Value> = graph.nodes[index].operands().collect();
                    steps.extend(operands.into_iter().rev().map(Step::Enter));
                }
            }
        }
    }
    order
}

/// Returns how often each node is an operand of what the result needs; the result is needed once more.
fn count_uses<F>(graph: &Graph<F>, result: Value) -> Vec<u32> {
    let mut uses = vec![0; graph.nodes.len()];
    uses[result.0 as usize] = 1;
    // A node is needed only by later ones.
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if uses[index] > 0 {
            node.operands().for_each(|operand| uses[operand.0 as usize] += 1);
        }
    }
    uses
}

/// The rows that are being evaluated.
struct Block<'a, F> {
    domain: &'a Domain<'a, F>,
    start: usize,
    len: usize,
    registers: Vec<Vec<F>>,
    points: Vec<F>,
}

impl<F: PrimeField> Block<'_, F> {
    /// Executes an instruction; `wrapped` has room for two operands.
    fn execute(&mut self, Instruction { into, operation }: &Instruction<F>, wrapped: &mut [Vec<F>; 2]) {
        let mut register = mem::take(&mut self.registers[*into]);
        let out = register[..self.len].iter_mut();
        let [first, second] = wrapped;
        match operation {
            Operation::Constant(value) => out.for_each(|out| *out = *value),
            Operation::Square(a) => out.zip(self.read(*a, first)).for_each(|(out, a)| *out = a.square()),
            Operation::Plus(summand, a) => {
                out.zip(self.read(*a, first)).for_each(|(out, a)| *out = *summand + a);
            }
            Operation::Minus(minuend, a) => {
                out.zip(self.read(*a, first)).for_each(|(out, a)| *out = *minuend - a);
            }
            Operation::Scale(factor, a) => {
                out.zip(self.read(*a, first)).for_each(|(out, a)| *out = *factor * a);
            }
            Operation::Add(a, b) => {
                let operands = self.read(*a, first).iter().zip(self.read(*b, second));
                out.zip(operands).for_each(|(out, (a, b))| *out = *a + b);
            }
            Operation::Sub(a, b) => {
                let operands = self.read(*a, first).iter().zip(self.read(*b, second));
                out.zip(operands).for_each(|(out, (a, b))| *out = *a - b);
            }
            Operation::Mul(a, b) => {
                let operands = self.read(*a, first).iter().zip(self.read(*b, second));
                out.zip(operands).for_each(|(out, (a, b))| *out = *a * b);
            }
            Operation::Fold(sum, base, term) => {
                let operands = self.read(*sum, first).iter().zip(self.read(*term, second));
                out.zip(operands).for_each(|(out, (sum, term))| *out = *sum * base + term);
            }
        }
        self.registers[*into] = register;
    }

    /// Returns the values of an operand in the rows of the block. Those that go beyond the last row of the domain, and
    /// on at the first, are copied into `wrapped`.
    fn read<'b>(&'b self, place: Place, wrapped: &'b mut [F]) -> &'b [F] {
        match place {
            Place::Register(register) => &self.registers[register][..self.len],
            Place::Point => &self.points[..self.len],
            Place::Column { column, rotation } => {
                let column = self.domain.columns[column];
                let rows = isize::try_from(column.len()).expect("it fits memory");
                let shift = rotation as isize * self.domain.step as isize;
                let first = (self.start as isize + shift).rem_euclid(rows) as usize;
                if let Some(values) = column.get(first..first + self.len) {
                    return values;
                }
                let (head, tail) = wrapped[..self.len].split_at_mut(column.len() - first);
                head.copy_from_slice(&column[first..]);
                tail.copy_from_slice(&column[..tail.len()]);
                &wrapped[..self.len]
            }
        }
    }
}

#[cfg(test)]
mod tests;
