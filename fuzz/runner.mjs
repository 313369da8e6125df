/*
 * Runs cases one after the other in a process of its own, which may die or hang without harm to the run. Told by its parent which; says what
 * came of each.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProvisionerError } from '#src/base/errors.js';
import { rebuildTar } from '#src/files/tar-record/rebuild-tar.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { unpackLayer } from '#src/unpack/unpack-layer.js';
import { loadFinding, makeCase } from './case.mjs';
import { readCorpus } from './corpus.mjs';
import { Canaries, wrongInLayer } from './invariants.mjs';
import { isZstd } from './mutations.mjs';
import { differingVerdicts } from './zstd.mjs';

/** Outcomes that say what is wrong with a layer. Others, such as `ERR_IO`, would blame the machine for it. */
const EXPECTED = new Set([
  'ERR_DIGEST_MISMATCH',
  'ERR_DIFF_ID_MISMATCH',
  'ERR_LAYER_MALFORMED',
  'ERR_LAYER_TRUNCATED',
  'ERR_UNSAFE_PATH',
  'ERR_LIMIT_EXCEEDED',
  'ERR_UNSUPPORTED_MEDIA_TYPE',
]);
const LIMITS = { maxEntries: 5000, maxUnpackedBytes: 64 * 2 ** 20, maxFileBytes: 2 ** 40, freeSpaceReserve: 0 };
/** A case takes a few milliseconds of the processor; one that takes this long has found something quadratic. */
const SLOW_MS = 3000;
/** Of the whole process, corpus included. */
const MEMORY_BYTES = 700 * 2 ** 20;

const { work, layers, seed, replay } = JSON.parse(process.argv[2] ?? '{}');
mkdirSync(work, { recursive: true });
const canaries = new Canaries(work);
const layer = join(work, 'layer');
// A runner before this one may have been killed.
rmSync(layer, { recursive: true, force: true });
const blobFile = join(work, 'blob');
/** What went wrong outside of any call we wait for. @type {string[]} */
const stray = [];
process.on('unhandledRejection', (reason) => stray.push(`unhandled rejection: ${describe(reason)}`));
process.on('uncaughtException', (error) => stray.push(`uncaught exception: ${describe(error)}`));

/** @param {unknown} error */
function describe(error) {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** @param {import('./case.mjs').Case} tried @returns {Promise<{ code: string, ms: number, problems: string[] }>} */
async function run(tried) {
  writeFileSync(blobFile, tried.blob);
  mkdirSync(layer);
  const syscalls = tried.native ? loadSyscalls() : new NativeFreeSyscalls();
  const descriptors = openDescriptors();
  const problems = [];
  let code = 'success';
  const before = process.cpuUsage();
  try {
    const request = {
      blob: { path: blobFile, offset: 0, size: tried.blob.length },
      digest: tried.digest,
      diffId: tried.diffId,
      directory: layer,
      format: tried.format,
      privileged: tried.native,
      limits: LIMITS,
      keepTar: true,
    };
    const { signal } = new AbortController();
    let asked = tried.blob.length;
    const hasSpareProcessor = () => asked++ % 3 !== 0;
    const { tar } = await unpackLayer(request, { syscalls, signal, progress: () => {}, hasSpareProcessor });
    const remade = tar === 'kept' ? digestOf(rebuildTar(layer, loadTreeCalls(syscalls))) : tar;
    if (remade !== tried.diffId) problems.push(`its archive cannot be made again: ${remade}, not ${tried.diffId}`);
  } catch (error) {
    code = error instanceof ProvisionerError ? error.code : 'foreign';
    if (!EXPECTED.has(code))
      problems.push(
        `ends with ${code}: ${describe(error)}${error instanceof Error && error.cause ? `\n${describe(error.cause)}` : ''}`,
      );
  }
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000;
  const differing = isZstd(tried.blob) ? await differingVerdicts(tried.blob, tried.index) : undefined;
  if (differing !== undefined) problems.push(differing);
  if (/MISMATCH/.test(code) && !tried.damaged) problems.push(`ends with ${code}, but the stored bytes are not damaged`);
  if (ms > SLOW_MS) problems.push(`took ${Math.round(ms)} ms`);
  // Streams close their files a little later.
  for (let wait = 0; openDescriptors() > descriptors && wait < 20; wait++) await sleep(5);
  if (openDescriptors() > descriptors) problems.push(`leaves ${openDescriptors() - descriptors} descriptors open`);
  const changed = canaries.changed();
  if (changed !== undefined) problems.push(changed);
  const wrong = code === 'success' ? wrongInLayer(layer, tried.format, loadSyscalls()) : undefined;
  if (wrong !== undefined) problems.push(wrong);
  removeTree(layer);
  const odd = readdirSync(work).filter((name) => name !== 'outside' && name !== 'blob');
  if (odd.length > 0) problems.push(`leaves ${odd.join(', ')} behind`);
  problems.push(...stray.splice(0));
  const memory = process.memoryUsage.rss();
  if (memory > MEMORY_BYTES) problems.push(`the process has ${Math.round(memory / 2 ** 20)} MiB`);
  return { code, ms, problems };
}

/** @param {Iterable<Buffer>} pieces */
function digestOf(pieces) {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return `sha256:${hash.digest('hex')}`;
}

function openDescriptors() {
  return readdirSync('/proc/self/fd').length;
}

/** @param {object} message */
function tell(message) {
  process.send?.(message);
}

if (replay !== undefined) {
  tell({ index: 0, ...(await run(loadFinding(replay))) });
  process.disconnect?.();
} else {
  const corpus = await readCorpus(layers);
  process.on('message', async (/** @type {{ from: number, to: number }} */ { from, to }) => {
    for (let index = from; index < to; index++) {
      tell({ starts: index });
      const tried = makeCase(corpus, seed, index, { outside: canaries.path });
      const result = await run(tried);
      tell({ index, ...result });
    }
    tell({ finished: true });
  });
  tell({ ready: true, entries: corpus.reduce((sum, { members }) => sum + members.length, 0), layers: corpus.length });
}

process.on('disconnect', () => {
  rmSync(blobFile, { force: true });
  process.exit();
});
