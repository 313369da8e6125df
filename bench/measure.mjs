// What the benchmarks share: places, figures, tables.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';

const TMPFS_MAGIC = 0x01021994;

/**
 * A fresh directory on a tmpfs where there is one: a shared disk changes its speed from run to run.
 * @param {string} name
 */
export function scratchDirectory(name) {
  const candidates = [process.env.BENCH_DIR, '/dev/shm', '/run', tmpdir()].filter((path) => path !== undefined);
  const base = candidates.find((path) => isTmpfs(path)) ?? tmpdir();
  mkdirSync(base, { recursive: true });
  const path = mkdtempSync(join(base, `provisioner-bench-${name}-`));
  process.on('exit', () => rmSync(path, { recursive: true, force: true }));
  return path;
}

function isTmpfs(path) {
  try {
    return statfsSync(path).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
}

/** @param {string} command */
export function hasCommand(command) {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** @param {number[]} values @param {number} share 0 to 1 */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Peak resident memory of this process in MB, its threads included. */
export function peakMemory() {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1000;
}

export function describeMachine() {
  const model = cpus()[0]?.model ?? 'unknown CPU';
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${availableParallelism()} × ${model}, ${memory} GiB, Linux ${release()}, Node ${process.version}`;
}

/** @param {string[]} header @param {(string | number)[][]} rows */
export function printTable(header, rows) {
  const lines = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, column) => Math.max(...lines.map((row) => row[column]?.length ?? 0)));
  for (const row of lines) {
    console.log(
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  '),
    );
  }
}

/** Reads `--name value` pairs. @param {string[]} options @param {Record<string, string>} defaults */
export function parseOptions(options, defaults) {
  const values = { ...defaults };
  for (let i = 0; i < options.length; i += 2) {
    const name = options[i].replace(/^--/, '');
    if (!(name in defaults) || options[i + 1] === undefined) {
      console.error(
        `options: ${Object.keys(defaults)
          .map((key) => `--${key} ${defaults[key] || 'VALUE'}`)
          .join(' ')}`,
      );
      process.exit(2);
    }
    values[name] = options[i + 1];
  }
  return values;
}
