//! `sim-miner`: see `--help`; the logic is in the library.

fn main() -> eyre::Result<()> {
    sims::miner_main()
}
