//! Checks what guests need of the engine and the processor: wide arithmetic, vectors, instructions that make proofs fast.
//!
//! Invariant: features are tried by running a module that uses them; nothing is concluded from versions.

use super::check::Check;
use snapback_snapshot::engine;
use wasmtime::{Instance, Module, Store};

/// A module with two functions: `wide` multiplies two 64-bit integers into 128 bits, and `simd` adds a vector to itself.
/// A test has its text.
const PROBE: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x0d\x02\x60\x02\x7e\x7e\x02\x7e\x7e\x60\x01\x7e\x01\x7e\
    \x03\x03\x02\x00\x01\
    \x07\x0f\x02\x04wide\x00\x00\x04simd\x00\x01\
    \x0a\x1b\x02\
    \x08\x00\x20\x00\x20\x01\xfc\x16\x0b\
    \x10\x00\x20\x00\xfd\x12\x20\x00\xfd\x12\xfd\xce\x01\xfd\x1d\x01\x0b";

/// Makes the checks of this family.
pub(super) fn checks() -> Vec<Check> {
    vec![features(run()), processor(&missing_instructions())]
}

/// Runs the module, and returns whether it computes what it should.
fn run() -> wasmtime::Result<bool> {
    let engine = engine(1)?;
    let module = Module::new(&engine, PROBE)?;
    let mut store = Store::new(&engine, ());
    // Nothing advances the epoch.
    store.set_epoch_deadline(1);
    let instance = Instance::new(&mut store, &module, &[])?;
    let wide = instance.get_typed_func::<(u64, u64), (u64, u64)>(&mut store, "wide")?;
    let product = wide.call(&mut store, (u64::MAX, 3))?;
    let simd = instance.get_typed_func::<u64, u64>(&mut store, "simd")?;
    let sum = simd.call(&mut store, 21)?;
    Ok(product == (u64::MAX - 2, 2) && sum == 42)
}

fn features(run: wasmtime::Result<bool>) -> Check {
    let name = "wasm.features";
    let advice = "run on a 64-bit machine that the engine supports, x86-64 or AArch64, and let the server make pages \
                  executable (no MemoryDenyWriteExecute=, no SELinux rule against execmem)";
    match run {
        Ok(true) => Check::ok(name, "wide arithmetic and vectors compute"),
        Ok(false) => Check::error(name, "wide arithmetic or vectors compute wrong values", advice),
        Err(error) => Check::error(name, format!("a module cannot be compiled and run: {error:#}"), advice),
    }
}

/// Returns the instructions that native code would use and this processor does not have.
fn missing_instructions() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! missing {
            ($($feature:tt)*) => {
                [$(($feature, is_x86_feature_detected!($feature))),*]
            };
        }
        missing!("sse4.1" "sse4.2" "popcnt" "lzcnt" "bmi1" "bmi2" "avx" "avx2" "fma")
            .into_iter()
            .filter_map(|(feature, is_there)| (!is_there).then_some(feature))
            .collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

fn processor(missing: &[&'static str]) -> Check {
    let name = "wasm.processor";
    let architecture = std::env::consts::ARCH;
    if missing.is_empty() {
        return Check::ok(name, format!("{architecture}, with all instructions that native code uses"));
    }
    Check::warning(
        name,
        format!("{architecture}, without {}", missing.join(", ")),
        "give the virtual machine the processor of its host (`-cpu host`): guests run slower without them",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::check::Verdict, *};

    #[test]
    fn the_module_is_what_its_text_says() {
        let text = r#"(module
            (func (export "wide") (param i64 i64) (result i64 i64)
                local.get 0 local.get 1 i64.mul_wide_u)
            (func (export "simd") (param i64) (result i64)
                local.get 0 i64x2.splat local.get 0 i64x2.splat i64x2.add i64x2.extract_lane 1))"#;
        assert_eq!(wat::parse_str(text).expect("valid text"), PROBE);
    }

    #[test]
    fn the_module_computes_and_a_failure_is_an_error() {
        assert_eq!(features(run()).verdict(), Verdict::Ok);
        assert_eq!(features(Ok(false)).verdict(), Verdict::Error);
        assert_eq!(features(Err(wasmtime::Error::msg("refused"))).verdict(), Verdict::Error);
        assert_eq!(processor(&["bmi2"]).verdict(), Verdict::Warning);
        assert_eq!(processor(&[]).verdict(), Verdict::Ok);
    }
}
