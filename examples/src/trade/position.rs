//! What is held of a symbol, and at which average price.

use crate::decimal::Decimal;
use crate::trade::orders::{Order, Side};

/// A position: what the fills so far add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// How much is held; negative when more was sold than bought.
    pub quantity: Decimal,
    /// What one was bought (or, below zero, sold) for on average.
    pub average_price: Decimal,
    /// How many fills it reflects.
    pub fills: u32,
}

impl Position {
    /// The position after one more fill; `None` if it is too large to keep.
    ///
    /// What adds to the position moves its average price; what reduces it does not. A fill that crosses zero
    /// begins a new position at its own price.
    pub fn after(self, order: &Order) -> Option<Self> {
        let (held, price) = (i128::from(self.quantity.units()), i128::from(order.price.units()));
        let size = i128::from(order.quantity.units());
        let change = if order.side == Side::Buy { size } else { -size };
        let quantity = held + change;
        let average_price = if quantity == 0 {
            0
        } else if held == 0 || held.signum() != quantity.signum() {
            price
        } else if held.signum() == change.signum() {
            (held * i128::from(self.average_price.units()) + change * price) / quantity
        } else {
            i128::from(self.average_price.units())
        };
        let keep = |units: i128| i64::try_from(units).ok().map(Decimal::from_units);
        Some(Self {
            quantity: keep(quantity)?,
            average_price: keep(average_price)?,
            fills: self.fills.checked_add(1)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_first_fill_sets_the_price(&["+2@100"], "2", "100")]
    #[case::a_buy_moves_the_average(&["+1@100", "+3@200"], "4", "175")]
    #[case::a_sale_does_not(&["+4@175", "-1@500"], "3", "175")]
    #[case::closed_is_flat(&["+4@175", "-4@500"], "0", "0")]
    #[case::crossing_zero_begins_anew(&["+1@100", "-3@120"], "-2", "120")]
    #[case::selling_more_moves_the_average(&["-1@100", "-1@200"], "-2", "150")]
    #[case::buying_back_does_not(&["-2@150", "+1@90"], "-1", "150")]
    #[case::thirds_are_cut_off(&["+1@1", "+2@2"], "3", "1.66666666")]
    fn fills_add_up(#[case] fills: &[&str], #[case] quantity: &str, #[case] price: &str) {
        let position = fills.iter().fold(Position::default(), |position, fill| {
            position.after(&order(fill)).expect("small numbers fit")
        });
        assert_eq!(position.quantity.to_string(), quantity);
        assert_eq!(position.average_price.to_string(), price);
        assert_eq!(position.fills, fills.len() as u32);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let most = Position { quantity: Decimal::from_units(i64::MAX), ..Position::default() };
        assert_eq!(most.after(&order("+1@1")), None);
    }

    fn order(fill: &str) -> Order {
        let (side, rest) = fill.split_at(1);
        let (quantity, price) = rest.split_once('@').expect("size@price");
        let side = if side == "+" { Side::Buy } else { Side::Sell };
        Order {
            id: "1".into(),
            exchange: "aurora".into(),
            symbol: "BTC-USD".into(),
            side,
            quantity: quantity.parse().expect("a number"),
            price: price.parse().expect("a number"),
            bot: None,
        }
    }
}
