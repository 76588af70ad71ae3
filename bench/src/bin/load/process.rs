//! What the kernel tells about processes and itself: processor time, memory, segments sent again.

use std::fs;

use anyhow::{Context, anyhow};

/// Ticks a second of the times in /proc: fixed for user space.
const TICKS: f64 = 100.0;

/// Processor time of a process so far, user and system, in seconds; 0 without a process.
pub fn cpu_seconds(pid: Option<u32>) -> anyhow::Result<f64> {
    let Some(pid) = pid else { return Ok(0.0) };
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name, in parentheses, may hold spaces. utime and stime are the 14th and 15th fields of all.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if times.len() == 2 { Ok(times.iter().sum::<f64>() / TICKS) } else { Err(anyhow!("{path}: no times")) }
}

/// Resident memory of a process in bytes.
pub fn resident(pid: Option<u32>) -> anyhow::Result<u64> {
    let pid = pid.context("name the server's process with --pid")?;
    kilobytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// The kernel's own small objects, of all namespaces, in bytes.
pub fn slab() -> anyhow::Result<u64> {
    kilobytes("/proc/meminfo", "Slab:")
}

/// Segments that the client's kernel has sent again in this namespace.
pub fn retransmissions() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let mut pairs = names.split(' ').zip(values.split(' '));
    pairs.find(|(name, _)| *name == "RetransSegs").and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

fn kilobytes(path: &str, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(1024 * number.with_context(|| format!("{path} has no {name}"))?)
}
