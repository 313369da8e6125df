import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { koffi } from '#src/system/koffi.js';
import { loadProcesses, nativeProcessesMissingReason } from '#src/system/processes/load-processes.js';
import { describeWith } from '../helpers/requirements.js';

const BUILD = new URL('../../build/', import.meta.url).href;

/** Runs a module in a process of its own, with `processes` and what else it imports. @returns what it prints as JSON */
function elsewhere(body: string): Record<string, unknown> {
  const code = `
    import { loadProcesses } from '${BUILD}system/processes/load-processes.js';
    import { isShortage } from '${BUILD}base/errors.js';
    const processes = loadProcesses();
    ${body}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  try {
    return JSON.parse(stdout);
  } catch {
    return expect.fail(`it printed ${stdout}${stderr}`);
  }
}

/** How long a start stops the event loop, at best of ten, with half a gigabyte in use; in milliseconds. */
const MEASURE = `
  import { spawn } from 'node:child_process';
  const memory = Array.from({ length: 8 }, () => Buffer.alloc(64 << 20, 1));
  const best = async (start) => {
    let least = Infinity;
    for (let round = 0; round < 10; round++) {
      const begun = performance.now();
      const started = start();
      least = Math.min(least, performance.now() - begun);
      await started;
    }
    return least;
  };
  const ours = await best(async () => {
    const { pid } = await processes.spawn({ program: '/bin/true', args: [], env: {} });
    return processes.exitOf(pid);
  });
  const nodes = await best(() => new Promise((resolve) => spawn('/bin/true', { stdio: 'ignore' }).once('exit', resolve)));
  console.log(JSON.stringify({ ours, nodes, bytes: memory.reduce((sum, { length }) => sum + length, 0) }));`;

describe('native processes', () => {
  it('are there', () => {
    expect(nativeProcessesMissingReason()).toBeUndefined();
    expect(loadProcesses().kind).toBe('native');
  });

  it('inherit not even descriptors that were opened without close-on-exec', async () => {
    const dup = koffi.load(null).func('int dup(int)') as (descriptor: number) => number;
    const file = openSync('/dev/zero', 'r');
    const copies = Array.from({ length: 20 }, () => dup(file));
    const processes = loadProcesses();
    const pipe = processes.openPipe();
    const { pid } = await processes.spawn({ program: '/bin/cat', args: [], env: {}, descriptors: [pipe.readEnd] });
    try {
      expect(readdirSync(`/proc/${pid}/fd`).toSorted()).toEqual(['0', '1', '2']);
    } finally {
      for (const one of [file, ...copies, pipe.readEnd, pipe.writeEnd]) closeSync(one);
      await processes.exitOf(pid);
    }
  });

  it('stop the event loop for a moment only, whatever memory is in use', () => {
    const { ours, nodes } = elsewhere(MEASURE) as { ours: number; nodes: number };
    if (process.env['PROVISIONER_TEST_FIGURES'] === '1') console.log({ ours, nodes });
    expect(ours).toBeLessThan(5);
    expect(ours).toBeLessThan(nodes / 3);
  });

  it('tell the end by a real-time signal', async () => {
    const processes = loadProcesses();
    const { pid } = await processes.spawn({ program: '/bin/sh', args: ['-c', 'kill -40 $$'], env: {} });
    expect(await processes.exitOf(pid)).toEqual({ signal: 40 });
  });

  it('are not started from what is no program: no shell is asked', async () => {
    const processes = loadProcesses();
    const copy = processes.sealedCopy('/proc/self/status');
    if (copy === undefined) return expect.fail('there is no sealed copy');
    const failing = processes.spawn({ program: `/proc/${process.pid}/fd/${copy}`, args: [], env: {} });
    await expect(failing).rejects.toMatchObject({ code: 'ENOEXEC' });
    closeSync(copy);
  });

  it('leave nothing open or half done in a process that has no descriptor left, and go on when it has', () => {
    const found = elsewhere(`
      import { openSync, closeSync } from 'node:fs';
      const files = [];
      const codes = [];
      const lowest = processes.openPipe();
      closeSync(lowest.readEnd);
      closeSync(lowest.writeEnd);
      try { for (;;) files.push(openSync('/dev/null', 'r')); } catch (error) { codes.push(error.code); }
      try { processes.openPipe(); } catch (error) { codes.push(error.code, isShortage(error)); }
      try { processes.sealedCopy('/bin/true'); } catch (error) { codes.push(error.code); }
      const { pid } = await processes.spawn({ program: '/bin/true', args: [], env: {} });
      codes.push((await processes.exitOf(pid)).code);
      for (const file of files) closeSync(file);
      codes.push(processes.openPipe().readEnd === lowest.readEnd);
      console.log(JSON.stringify({ codes }));`);
    expect(found).toEqual({ codes: ['EMFILE', 'EMFILE', true, 'EMFILE', 0, true] });
  });
});

describeWith(['root'], 'native processes of a user', () => {
  it('with as many as allowed are not started, which is told as a shortage', () => {
    const found = elsewhere(`
      import { execFileSync } from 'node:child_process';
      execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=1:1']);
      process.setuid(64_321);
      const error = await processes.spawn({ program: '/bin/true', args: [], env: {} }).catch((error) => error);
      console.log(JSON.stringify({ code: error.code, syscall: error.syscall, path: error.path, shortage: isShortage(error) }));`);
    expect(found).toEqual({ code: 'EAGAIN', syscall: 'posix_spawn', path: '/bin/true', shortage: true });
  });
});
