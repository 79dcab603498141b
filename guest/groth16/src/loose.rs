//! Elements whose words are bounded otherwise than those of [`Element`], so that some reductions are left out.
//!
//! Source: Harvey, "Faster arithmetic for number-theoretic transforms", 2014.
//!
//! Invariant: the words of [`Reduced`] are below the prime, and those of [`Loose`] below four times the prime, which is
//! below `R`. A product of the former and any number below `R` is below twice the prime.

use crate::field::{Element, Modulus};
use snapback_arithmetic::words::{Words, difference, sum};
use std::marker::PhantomData;

/// An element that is reduced.
#[derive(Clone, Copy)]
pub(crate) struct Reduced<M>(Element<M>);

impl<M: Modulus> Reduced<M> {
    pub(crate) fn of(element: Element<M>) -> Self {
        Self(Element::from_words(element.montgomery()))
    }

    pub(crate) fn element(&self) -> Element<M> {
        self.0
    }

    /// Returns the product.
    pub(crate) fn times(&self, other: &Loose<M>) -> Element<M> {
        self.0.times(&Element::from_words(other.0))
    }
}

/// A sum or a difference without its reduction.
#[derive(Clone, Copy)]
pub(crate) struct Loose<M>(Words, PhantomData<M>);

impl<M: Modulus> Loose<M> {
    pub(crate) fn sum(a: &Element<M>, b: &Element<M>) -> Self {
        Self(sum(a.words(), b.words()), PhantomData)
    }

    pub(crate) fn difference(a: &Element<M>, b: &Element<M>) -> Self {
        Self(sum(&difference(a.words(), b.words()), &Element::<M>::TWICE), PhantomData)
    }
}
