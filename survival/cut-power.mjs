// @ts-check
/* Starts `power-cut.mjs` in a mount namespace of its own, with which all that it mounts goes, whatever becomes of it. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Ends at the first cut that breaks a promise.
 * @typedef {object} CutOptions
 * @property {number} cuts
 * @property {number} seed
 * @property {number} seconds no further cut begins after so long
 * @property {boolean} unsafe durability is off
 * @property {boolean} [mountsOnly] one process, which provisions and destroys by overlay and does nothing else
 */

/**
 * @typedef {object} CutReport
 * @property {number} cuts
 * @property {number} operations told as done before the last cut
 * @property {number} damaged cuts after which some promise was broken
 * @property {number} damagedFiles cuts after which a file of a layer or of a rootfs did not hold what it should
 * @property {string[]} problems
 * @property {string} summary
 */

const PROGRAM = fileURLToPath(new URL('./power-cut.mjs', import.meta.url));

/** @param {CutOptions} options @param {(line: string) => void} [log] @returns {Promise<CutReport>} */
export async function cutPower(options, log = () => {}) {
  const command = [process.execPath, PROGRAM, JSON.stringify(options)];
  const child = spawn('unshare', ['--mount', '--propagation', 'private', ...command], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    log(text.trimEnd());
  });
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status !== 0) throw new Error(`cutting the power ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}
