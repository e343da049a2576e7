//! `sim-exchange`: see `--help`; the logic is in the library.

fn main() -> eyre::Result<()> {
    sims::exchange_main()
}
