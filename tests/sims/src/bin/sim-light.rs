//! `sim-light`: see `--help`; the logic is in the library.

fn main() -> eyre::Result<()> {
    sims::light_main()
}
