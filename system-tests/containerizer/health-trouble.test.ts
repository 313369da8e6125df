import { closeSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { Containerizer } from '#src/containerizer/index.js';
import { processStat } from '#src/system/processes/process-stat.js';
import { again, IMAGE, otherContainerizer, processesOf, storeWithBusybox } from '../helpers/containers.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups'] as const;
const SOON = { timeout: 15_000, interval: 50 };
const FOREVER = { command: ['sleep', '1000'] };
const PAGE = 4096;

const newest = async (containers: Containerizer) => (await containers.get('job'))?.health?.results.at(-1);

/** Writes a file system full, but for so many pages. @returns makes room again */
function fill(path: string, pagesLeft: number): () => void {
  const file = join(path, 'fill');
  const descriptor = openSync(file, 'w');
  let bytes = 0;
  try {
    for (const piece of [Buffer.alloc(2 ** 20), Buffer.alloc(PAGE)]) {
      try {
        for (;;) bytes += writeSync(descriptor, piece);
      } catch {
        // Nothing more of this size goes in.
      }
    }
  } finally {
    closeSync(descriptor);
  }
  truncateSync(file, bytes - pagesLeft * PAGE);
  return () => rmSync(file);
}

describeWith(NEEDS, 'a container that is well, where this machine lacks something,', () => {
  test.each([
    [0, 'crun'],
    [1, 'crun'],
    [1, 'runc'],
  ] as const)(
    'is not called unhealthy for a full disk with %i pages left, nor killed, with %s',
    async (left, runtime) => {
      const files = mountFileSystem('tmpfs');
      const { containers } = await storeWithBusybox({ root: join(files.path, 'store'), runtime });
      const health = { command: ['true'], interval: 50, retries: 1, onFailure: 'kill' } as const;
      await containers.launch('job', IMAGE, { ...FOREVER, health });
      await containers.waitUntil('job', 'healthy');
      const makeRoom = fill(files.path, left);
      await sleep(2500);
      makeRoom();
      const before = Date.now();
      await vi.waitFor(async () => expect((await newest(containers))?.startedAt).toBeGreaterThan(before), SOON);
      expect(await containers.get('job')).toMatchObject({
        state: 'running',
        health: { status: 'healthy', failingStreak: 0 },
      });
      await containers.destroy('job', { running: 'kill' });
    },
  );

  test.each(['true', 'sleep 1'])(
    'is checked on when there are descriptors again, by a process that has lived through it: %s',
    async (script) => {
      const { root, provisioner } = await storeWithBusybox();
      await provisioner.close();
      const health = { command: ['sh', '-c', script], interval: 100, retries: 1, onFailure: 'kill' };
      const body = `
        const { openSync, closeSync } = await import('node:fs');
        await c.launch('job', '${IMAGE}', ${JSON.stringify({ ...FOREVER, health })});
        await c.waitUntil('job', 'healthy');
        await sleep(500);
        const held = [];
        try { for (;;) held.push(openSync('/dev/null', 'r')); } catch {}
        await sleep(2500);
        for (const one of held) closeSync(one);
        say('freed');
        await sleep(60_000);`;
      const other = otherContainerizer(root, body, { within: ['prlimit', '--nofile=300'] });
      await other.says('freed');
      const freed = Date.now();
      const { containers } = await again(root);
      await vi.waitFor(async () => expect((await newest(containers))?.startedAt).toBeGreaterThan(freed), SOON);
      expect(await containers.get('job')).toMatchObject({ state: 'running', health: { status: 'healthy' } });
      await other.kill();
    },
  );
});

describeWith(NEEDS, 'a check that hangs with hundreds of processes', () => {
  const script = 'i=0; while [ $i -lt 400 ]; do sleep 5000 & i=$((i+1)); done; wait';
  const hangs = { command: ['sh', '-c', script], interval: 100, timeout: 4000, retries: 1 };

  test('is killed with all of them, and leaves this process to others meanwhile', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...FOREVER, health: { ...hangs, onFailure: 'none' } });
    await vi.waitFor(() => expect(processesOf(root).inContainers.length).toBeGreaterThan(400), SOON);
    const ofFirst = processesOf(root).inContainers;
    const delays = monitorEventLoopDelay({ resolution: 5 });
    delays.enable();
    await containers.waitUntil('job', 'unhealthy');
    expect(delays.max / 1e6).toBeLessThan(500);
    // All but the container's own program.
    await vi.waitFor(() => expect(runningOf(ofFirst)).toHaveLength(1), SOON);
  });

  test('is killed with all of them by a process that has fewer descriptors', async () => {
    const { root, provisioner } = await storeWithBusybox();
    await provisioner.close();
    const body = `
      await c.launch('job', '${IMAGE}', ${JSON.stringify({ ...FOREVER, health: hangs })});
      await c.waitUntil('job', 'unhealthy');
      say('unhealthy');
      await sleep(60_000);`;
    const other = otherContainerizer(root, body, { within: ['prlimit', '--nofile=200'] });
    await vi.waitFor(() => expect(processesOf(root).inContainers.length).toBeGreaterThan(400), SOON);
    const ofFirst = processesOf(root).inContainers;
    await other.says('unhealthy');
    await vi.waitFor(() => expect(runningOf(ofFirst)).toHaveLength(1), SOON);
    await other.kill();
  });
});

/** Those that have not ended; nobody waits for most of what a check has started. */
function runningOf(pids: readonly number[]): number[] {
  return pids.filter((pid) => {
    const stat = processStat(pid);
    return stat !== undefined && stat.state !== 'Z';
  });
}
