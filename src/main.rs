//! The `mbuild` command.

fn main() -> std::process::ExitCode {
    mbuild::cli::main()
}
