// What the scripts beside this one know about the machine, and how they start programs. Nothing here needs an installed package.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const repository = fileURLToPath(new URL('..', import.meta.url));

export const isRoot = process.getuid?.() === 0;
export const isLinux = process.platform === 'linux';
export const isDebian = isLinux && /^ID(_LIKE)?=.*\bdebian\b/m.test(readFileOr('/etc/os-release', ''));
/** @see linux/magic.h */
const OVERLAYFS_MAGIC = 0x794c7630;

export const inCi = process.env['CI'] === 'true';

/** A failure that has been told in full, so that a stack would only hide it. */
export class Told extends Error {}

/** @param {string} path @param {string} otherwise */
function readFileOr(path, otherwise) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

/**
 * Runs a program.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {object} [options]
 * @param {boolean} [options.quiet] keeps what it prints instead of showing it. Default false
 * @param {NodeJS.ProcessEnv} [options.env] beside the environment of this process
 * @param {string} [options.directory] where it runs. Default: the checkout
 * @returns {Promise<{ code: number, output: string, printed: string }>} code 127 when there is no such program; `printed` is `output` without errors and warnings
 */
export function run(command, args, { quiet = false, env = {}, directory = repository } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: directory,
      env: { ...process.env, ...env },
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
      // npm is a script of its own on Windows.
      shell: process.platform === 'win32',
    });
    let output = '';
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text) => (output += text));
    child.stdout?.on('data', (text) => (printed += text));
    child.on('error', (error) => resolve({ code: 127, output: `${output}${error.message}\n`, printed }));
    child.on('close', (code, signal) =>
      resolve({ code: code ?? 1, output: signal ? `${output}ended by ${signal}\n` : output, printed }),
    );
  });
}

/** @param {string} directory */
export function isOnOverlay(directory) {
  return statfsSync(directory).type === OVERLAYFS_MAGIC;
}

/**
 * Runs a program whose temporary directory is a tmpfs of its own, as root: in a container the usual one is itself on overlayfs, which cannot carry another.
 * @param {readonly string[]} command
 * @param {Parameters<typeof run>[2]} [options]
 */
export async function runOnTmpfs(command, options = {}) {
  const place = mkdtempSync(join(tmpdir(), 'provisioner-tmpfs-'));
  try {
    // In a mount namespace of its own, it goes with the last process in it.
    const script = 'mount -t tmpfs tmpfs "$TMPDIR" && exec "$@"';
    const env = { ...options.env, TMPDIR: place };
    return await run('unshare', ['--mount', 'sh', '-c', script, 'sh', ...command], { ...options, env });
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/**
 * Installs the Debian packages that are missing of a group; prints a line when there are any.
 * @param {'build' | 'tests'} group
 * @returns {Promise<boolean>} whether all are there now
 */
export async function installDebianPackages(group) {
  return (await run('scripts/install-debian-packages.sh', [group])).code === 0;
}

/** @param {number} start from `performance.now()` */
export function secondsSince(start) {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}

/** The end of a long output. @param {string} output */
export function tail(output) {
  return output.trimEnd().split('\n').slice(-40).join('\n');
}

/**
 * Runs a script's main function: exit code 1 when it throws.
 * @param {() => Promise<number | undefined>} main returns the exit code. Default 0
 */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    console.error(error instanceof Told ? error.message : error);
    process.exitCode = 1;
  }
}
