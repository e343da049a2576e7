//! A coin whose market is closed must hold up neither other coins nor withdrawals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use clock::Clock;
use conversion::{
    book::{Rules, SaleRule},
    converter::Converter,
    journal::Journal,
    venue::{Balance, Deposit, OrderState, Venue, VenueError, WithdrawalState},
};
use domain::{Coin, Sats};

/// Nobody bids for BCH, sales of LTC are refused, DOGE is sold and BTC goes out.
#[derive(Clone, Default)]
struct Closed(Arc<Mutex<Vec<String>>>);

impl Venue for Closed {
    async fn sync_time(&self) -> Result<(), VenueError> {
        Ok(())
    }
    async fn best_bid(&self, coin: Coin) -> Result<u64, VenueError> {
        Ok(if coin == Coin::Bch { 0 } else { 1 })
    }
    async fn balance(&self, coin: Coin) -> Result<Balance, VenueError> {
        let gone = self.0.lock().unwrap().iter().any(|done| *done == coin.ticker());
        Ok(Balance { free: if gone { 0 } else { 5_000_000 }, locked: 0 })
    }
    async fn deposits(&self, _: Coin) -> Result<Vec<Deposit>, VenueError> {
        Ok(Vec::new())
    }
    async fn sell(&self, _: &str, coin: Coin, _: u64) -> Result<(), VenueError> {
        if coin == Coin::Ltc {
            let why = "Market is closed.".to_owned();
            return Err(VenueError::Refused { doing: "order".into(), code: -1013, why });
        }
        self.0.lock().unwrap().push(coin.ticker().into());
        Ok(())
    }
    async fn order(&self, _: &str, _: Coin) -> Result<OrderState, VenueError> {
        let (gross, fee) = (Sats(10), Sats(0));
        Ok(OrderState::Done { amount: 5_000_000, gross, fee, status: "FILLED".into() })
    }
    async fn withdraw(&self, _: &str, _: &str, _: Sats) -> Result<(), VenueError> {
        self.0.lock().unwrap().push("BTC".into());
        Ok(())
    }
    async fn withdrawal(&self, _: &str) -> Result<WithdrawalState, VenueError> {
        Ok(WithdrawalState::Sent { txid: "t".into(), fee: Sats(1) })
    }
    fn request_lifetime(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn a_closed_market_holds_up_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, fills) = Journal::open(&dir.path().join("fills.jsonl")).unwrap();
    let sale = |coin| SaleRule { coin, min_sale: 1, lot: 1 };
    let rules = Rules {
        sales: [Coin::Bch, Coin::Ltc, Coin::Doge].map(sale).to_vec(),
        min_withdrawal: 1,
        withdrawal_floor: 1,
        withdraw_every: 1,
        treasury: "treasury".into(),
        id_prefix: "t".into(),
    };
    let venue = Closed::default();
    let clock = Clock::fixed(Arc::new(AtomicU64::new(1)));
    let mut converter = Converter::new(venue.clone(), clock, rules, journal, &fills).unwrap();
    for _ in 0..12 {
        converter.step().await.unwrap();
    }
    assert_eq!(*venue.0.lock().unwrap(), ["DOGE", "BTC"]);
}
