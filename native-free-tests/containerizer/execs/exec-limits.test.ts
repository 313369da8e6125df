import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ExecLimits } from '#src/containerizer/execs/exec-limits.js';
import { NativeFreeProcesses } from '#src/system/processes/native-free/native-free-processes.js';
import { processStat } from '#src/system/processes/process-stat.js';

const SIGKILL = 9;
const processes = new NativeFreeProcesses();

/** What stands for a runtime, and for a stranger: a shell that waits. */
async function shell(script: string): Promise<{ readonly pid: number; hasEnded(): boolean; readonly end: () => void }> {
  const { pid } = await processes.spawn({ program: '/bin/sh', args: ['-c', script], env: { PATH: '/bin:/usr/bin' } });
  const handle = processes.open(pid);
  const end = () => void handle?.send(SIGKILL);
  onTestFinished(end);
  return { pid, end, hasEnded: () => handle?.hasEnded() ?? true };
}

function pidFile(text = ''): string {
  const directory = mkdtempSync(join(tmpdir(), 'provisioner-exec-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'pid');
  writeFileSync(file, text);
  return file;
}

describe('the limit of what an exec runs', () => {
  it('ends the runtime where the program has not begun', async () => {
    const runtime = await shell('sleep 60');
    const limits = new ExecLimits(processes, runtime.pid, pidFile(), { timeout: 1 });
    expect(await processes.exitOf(runtime.pid)).toEqual({ signal: SIGKILL });
    limits.end();
    expect(limits.stopped).toBe('time-limit');
  });

  it('ends with the runtime all that it has started so far, where it is not told yet who the program is', async () => {
    const file = pidFile();
    const places = `${file}.pids`;
    const script = `(sleep 61 & echo $! >> ${places}; sh -c 'echo $$ >> ${places}; sleep 62 & echo $! >> ${places}; wait') & wait`;
    const runtime = await shell(script);
    const started = () => readFileSync(places, 'utf8').split('\n').filter(Boolean).map(Number);
    await expect.poll(() => existsSync(places) && started().length === 3, { interval: 5 }).toBe(true);
    const limits = new ExecLimits(processes, runtime.pid, file, { timeout: 1 });
    expect(await processes.exitOf(runtime.pid)).toEqual({ signal: SIGKILL });
    limits.end();
    for (const pid of started()) {
      await expect.poll(() => ['Z', undefined].includes(processStat(pid)?.state), { interval: 5 }).toBe(true);
    }
  });

  it('never ends whoever has the number of a program that has ended', async () => {
    const [runtime, stranger] = [await shell('sleep 60'), await shell('sleep 60')];
    const limits = new ExecLimits(processes, runtime.pid, pidFile(`${stranger.pid}`), { signal: AbortSignal.abort() });
    // The runtime may still tell how that ended.
    expect([runtime.hasEnded(), stranger.hasEnded(), limits.stopped]).toEqual([false, false, undefined]);
    expect(await processes.exitOf(runtime.pid)).toEqual({ signal: SIGKILL });
    limits.end();
    expect([stranger.hasEnded(), limits.stopped]).toEqual([false, 'aborted']);
  });

  it('does nothing to what has ended before it, though nobody has been told yet', async () => {
    const runtime = await shell('exit 4');
    await expect.poll(() => runtime.hasEnded(), { interval: 5 }).toBe(true);
    const limits = new ExecLimits(processes, runtime.pid, pidFile('2'), { signal: AbortSignal.abort() });
    expect(await processes.exitOf(runtime.pid)).toEqual({ code: 4 });
    limits.end();
    expect(limits.stopped).toBeUndefined();
  });

  it('is over with the runtime', async () => {
    const runtime = await shell('exit 0');
    const giveUp = new AbortController();
    const limits = new ExecLimits(processes, runtime.pid, pidFile(`${process.pid}`), { signal: giveUp.signal });
    await processes.exitOf(runtime.pid);
    limits.end();
    giveUp.abort();
    expect(limits.stopped).toBeUndefined();
  });
});
