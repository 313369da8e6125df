#!/usr/bin/env node
// The main job, with the package as it is installed in PROJECT and the Node.js that runs this: a store is made, an image pulled, a root filesystem provisioned,
// shown, destroyed, all of it pruned, and the store found sound; while a process of another Node.js has the store open, where one is named.
//
//   node short-run.mjs PROJECT better-sqlite3|node:sqlite [OTHER-PROJECT OTHER-NODE]
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository } from './machine.mjs';

const [project = '', sqlite, otherProject, otherNode] = process.argv.slice(2);
const place = mkdtempSync(join(tmpdir(), 'provisioner-short-run-'));
const root = join(place, 'store');
const IMAGE = `oci:${join(repository, 'fixtures/app-v2')}`;
const isRoot = process.getuid?.() === 0;

/** @param {string[]} args @param {{ node?: string, from?: string }} [options] @returns what the command says in JSON */
function command(args, { node = process.execPath, from = project } = {}) {
  const main = join(from, 'node_modules/provisioner/dist/cli/main.js');
  const quiet = /** @type {const} */ ({ encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const output = execFileSync(node, [main, '--json', '--root', root, ...args], quiet);
  return output === '' ? undefined : JSON.parse(output);
}
const ids = (/** @type {object} */ options) =>
  command(['ps'], options).map((/** @type {{ id: string }} */ { id }) => id);

/** A process that has the store open, with the other Node.js. @returns what lets it go */
async function holdOpen() {
  if (otherProject === undefined || otherNode === undefined) return async () => {};
  const program = `
    import { Provisioner } from 'provisioner';
    const p = await Provisioner.open({ root: ${JSON.stringify(root)} });
    await p.provision('theirs', 'app:v2');
    console.log('open');
    process.stdin.once('end', async () => {
      await p.destroy('theirs');
      await p.close();
    }).resume();`;
  const args = ['--input-type=module', '--eval', program];
  const child = spawn(otherNode, args, { cwd: otherProject, stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), ended.then(() => assert.fail('the other process ended early'))]);
  return async () => {
    child.stdin.end();
    assert.deepEqual(await ended, [0, null]);
  };
}

try {
  command(['pull', IMAGE, '--name', 'app:v2']);
  const { sqlite: used, syscalls, versions } = command(['info']);
  assert.deepEqual([used, syscalls, versions.node], [sqlite, 'native', process.versions.node]);
  const letGo = await holdOpen();
  const theirs = otherNode === undefined ? [] : ['theirs'];
  const { rootfs } = command(['provision', 'ours', 'app:v2', '--backend', isRoot ? 'overlay' : 'copy']);
  assert.match(readFileSync(join(rootfs, 'app/main.sh'), 'utf8'), /app v2/);
  writeFileSync(join(rootfs, 'written'), 'by a container');
  assert.deepEqual(ids({}), ['ours', ...theirs]);
  if (otherNode !== undefined) assert.deepEqual(ids({ node: otherNode, from: otherProject }), ['ours', 'theirs']);
  command(['prune']);
  assert.equal(command(['images']).length, 1);
  command(['destroy', 'ours']);
  assert.equal(existsSync(rootfs), false);
  await letGo();
  command(['prune']);
  assert.deepEqual(command(['images']), []);
  command(['check', '--full']);
  assert.deepEqual(readdirSync(join(root, 'layers')), []);
} finally {
  rmSync(place, { recursive: true, force: true });
}
