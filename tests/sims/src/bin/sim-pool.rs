//! `sim-pool`: see `--help`; the logic is in the library.

fn main() -> eyre::Result<()> {
    sims::pool_main()
}
