import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { longestStretch } from '../helpers/event-loop.js';
import { reboot } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;
/** `PROVISIONER_TEST_CONTAINERS=10000` takes some minutes. */
const CONTAINERS = Number(process.env['PROVISIONER_TEST_CONTAINERS'] ?? 2000);
/**
 * Nobody waits for longer than that for a lock that is held alone, and nobody for the event loop: milliseconds by the clock, or of processor time where that is less, which others do
 * not make longer.
 */
const LONGEST_HOLD = 100;
const LONGEST_STRETCH = 50;
const IDS = Array.from({ length: CONTAINERS }, (_, index) => `job-${index}`);
const PROVISIONED_AT_ONCE = 100;

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const app = buildImage([base, buildLayer([{ path: 'app', content: 'v1' }])]);
const unused = buildImage([base, buildLayer([{ path: 'app', content: 'v2' }])]);

/** Each time that a lock was held alone since the last look: how long, and what this process worked meanwhile, all its threads, in milliseconds. */
let holds: { readonly held: number; readonly worked: number }[] = [];
const withExclusive = StoreLock.prototype.withExclusive;
beforeEach(() => {
  StoreLock.prototype.withExclusive = function <T>(
    this: StoreLock,
    purpose: string,
    work: () => T | Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const timed = async () => {
      const [begun, before] = [performance.now(), process.cpuUsage()];
      try {
        return await work();
      } finally {
        const { user, system } = process.cpuUsage(before);
        holds.push({ held: performance.now() - begun, worked: (user + system) / 1000 });
      }
    };
    return withExclusive.call(this, purpose, timed, signal) as Promise<T>;
  };
});
afterEach(() => {
  StoreLock.prototype.withExclusive = withExclusive;
});

interface Figures {
  readonly took: number;
  readonly stretch: number;
  readonly holds: number;
  readonly longestHold: number;
  readonly longestHoldOfOwn: number;
}

/** Does one thing, and looks at what all others had to wait for meanwhile. */
async function measured<T>(name: string, figures: Record<string, Figures>, work: () => Promise<T>): Promise<T> {
  holds = [];
  const results: T[] = [];
  const begun = performance.now();
  const stretch = await longestStretch(async () => {
    results.push(await work());
  });
  const took = Math.round(performance.now() - begun);
  const longestHold = Math.max(0, ...holds.map(({ held }) => held));
  const longestHoldOfOwn = Math.max(0, ...holds.map(({ held, worked }) => Math.min(held, worked)));
  figures[name] = { took, stretch, holds: holds.length, longestHold, longestHoldOfOwn };
  return results[0] as T;
}

async function provisionAll(p: Provisioner): Promise<void> {
  for (let at = 0; at < IDS.length; at += PROVISIONED_AT_ONCE) {
    const portion = IDS.slice(at, at + PROVISIONED_AT_ONCE);
    await Promise.all(portion.map((id) => p.provision(id, 'app', { backend: 'overlay' })));
  }
}

describeWith(['root', 'overlay'], `a store with ${CONTAINERS} mounted containers`, () => {
  test('keeps nobody waiting: not by ps, nor a destroy, nor a recovery that mounts all of them again, nor a prune', {
    timeout: 600_000,
  }, async () => {
    const first = await openStore({ unsafeNoSync: true });
    await pullImages(first, { app, unused });
    await provisionAll(first);
    await first.provision('copy', 'app', { backend: 'copy' });
    const figures: Record<string, Figures> = {};

    const second = await measured('open', figures, () => openStore({ root: first.root, unsafeNoSync: true }));
    const listed = await measured('ps', figures, () => second.containers.list());
    expect(listed.filter(({ rootfses }) => rootfses[0]?.mountState === 'mounted')).toHaveLength(CONTAINERS);
    expect(await measured('destroy', figures, () => second.destroy('job-0'))).toBe(true);
    expect(await measured('destroy of a copy', figures, () => second.destroy('copy'))).toBe(true);
    expect((await measured('recover, nothing to do', figures, () => second.recover())).remounted).toEqual([]);
    await second.close();

    const p = await reboot(first, { unsafeNoSync: true });
    expect(mountsBelow(p.root)).toEqual([]);
    // What crashes left meanwhile: a layer that no record names, and the way to a rootfs that never came to be.
    const stray = join(p.root, 'layers', 'f'.repeat(64));
    mkdirSync(join(stray, 'rootfs'), { recursive: true });
    mkdirSync(join(p.root, 'containers/never/backends/overlay/rootfses'), { recursive: true });
    const unmounted = await measured('ps after a reboot', figures, () => p.containers.list());
    expect(unmounted.filter(({ rootfses }) => rootfses[0]?.mountState === 'unmounted')).toHaveLength(CONTAINERS - 1);
    const report = await measured('recover after a reboot', figures, () => p.recover());
    expect(report.remounted).toHaveLength(CONTAINERS - 1);
    expect(report).toMatchObject({ retired: [stray], destroyed: [], untrusted: [], failed: [] });
    expect(readFileSync(join(report.remounted[0] as string, 'app'), 'utf8')).toBe('v1');
    expect(mountsBelow(p.root)).toHaveLength(CONTAINERS - 1);

    const pruned = await measured('prune', figures, () => p.pruneImages());
    expect(pruned.layers.filter(({ reasons }) => reasons.length === 0)).toHaveLength(1);
    const known = ['job-1'];
    const last = await measured('recover of one', figures, () => p.recover({ knownContainerIds: known }));
    expect(last.destroyed).toHaveLength(CONTAINERS - 2);
    await p.destroy('job-1');
    await expectNoContainers(p);

    if (process.env['PROVISIONER_TEST_FIGURES'] !== undefined) console.table(figures);
    const waits = Object.entries(figures).filter(
      ([, { stretch, longestHoldOfOwn }]) => longestHoldOfOwn > LONGEST_HOLD || stretch > LONGEST_STRETCH,
    );
    expect(waits).toEqual([]);
  });
});

/** What opens the table of mounts, in all its spellings. */
const TABLE = /\/proc\/[^"]*\/mountinfo"/;

describeWith(['root', 'overlay', 'strace'], 'the table of mounts', () => {
  test('is read at most once by each operation, and not at all where one path tells', async () => {
    const p = await openStore();
    await pullImages(p, { app, unused });
    for (const id of ['a', 'b', 'c']) await p.provision(id, 'app', { backend: 'overlay' });
    await p.provision('copy', 'app', { backend: 'copy' });
    const operations = {
      'provision by overlay': `p.provision('new', 'app', { backend: 'overlay' })`,
      'provision by copy': `p.provision('new', 'app', { backend: 'copy' })`,
      ps: 'p.containers.list()',
      'destroy of overlays': `p.destroy('a')`,
      'destroy of a copy': `p.destroy('copy')`,
      recover: 'p.recover()',
      prune: 'p.pruneImages()',
      check: 'p.store.check()',
      sweep: 'p.store.swept()',
    };
    const trace = join(temporaryDirectory(), 'trace');
    const code = `
      import { readFileSync } from 'node:fs';
      import { Provisioner } from '${LIBRARY}';
      const mark = (name) => { try { readFileSync('/no/such/mark/' + name); } catch {} };
      const p = await Provisioner.open({ root: '${p.root}' });
      ${Object.entries(operations)
        .map(([name, call]) => `mark('${name}'); await ${call};`)
        .join('\n')}
      mark('end'); await p.close();`;
    const traced = ['-f', '-qq', '-e', 'trace=open,openat', '-o', trace];
    execFileSync('strace', [...traced, process.execPath, '--input-type=module', '-e', code]);
    const reads: Record<string, number> = {};
    let during = '';
    for (const line of readFileSync(trace, 'utf8').split('\n')) {
      during = /\/no\/such\/mark\/([^"]*)"/.exec(line)?.[1] ?? during;
      reads[during] = (reads[during] ?? 0) + (TABLE.test(line) ? 1 : 0);
    }
    const { recover, ...others } = Object.fromEntries(Object.keys(operations).map((name) => [name, reads[name]]));
    expect(recover).toBe(1);
    expect(
      Object.values(others).every((count) => (count ?? 2) <= 1),
      JSON.stringify(others),
    ).toBe(true);
    expect(others).toMatchObject({ ps: 0, 'destroy of overlays': 0 });
  });
});
