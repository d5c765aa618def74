//! The resources that this process has used so far, from `/proc`. On systems other than Linux, nothing is known.

use std::fs::read_to_string;

/// Seconds of CPU, in user and kernel, of all threads; in steps of 10 ms.
pub(crate) fn cpu() -> Option<f64> {
    let stat = read_to_string("/proc/self/stat").ok()?;
    // The program's name is in parentheses and may hold anything; utime and stime are the 12th and 13th field behind.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // In hundredths of a second on every Linux, whatever its own tick is.
    Some((user + kernel) as f64 / 100.0)
}

/// The most memory that was ever resident, in kB.
pub(crate) fn peak_memory() -> Option<u64> {
    read_to_string("/proc/self/status")
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
}

/// The average number of threads that wanted a core during the last minute. If it exceeds the number of cores, the measured times
/// are too long.
pub(crate) fn load() -> String {
    let loads = read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The name of the processor.
pub(crate) fn processor() -> String {
    let models = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = models.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or(std::env::consts::ARCH, |(_, model)| model.trim()).to_owned()
}

/// The build profile that is measured.
pub(crate) fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "debug build: these are not the product's figures"
    } else {
        "release build without LTO"
    }
}
