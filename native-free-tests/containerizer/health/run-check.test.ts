import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { CHECK_MARK } from '#src/containerizer/health/end-check.js';
import { type CheckRun, runCheck } from '#src/containerizer/health/run-check.js';
import type { ExecOptions, ExecutionEnd } from '#src/containerizer/index.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';

/** A check whose program is in the test's hand. */
class Run implements CheckRun {
  readonly settings = { command: ['check'], timeout: 1000 };
  readonly clock = new SteppedClock();
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly over = new AbortController();
  readonly killed: string[] = [];
  options: ExecOptions | undefined;
  halted = false;
  failure: Error | undefined;
  end_ = (_: ExecutionEnd) => {};
  readonly outcome;

  constructor(failure?: Error) {
    this.failure = failure;
    this.outcome = runCheck(this, 'id', this.over.signal);
  }

  async exec(_: readonly string[], options: ExecOptions) {
    this.options = options;
    if (this.failure !== undefined) throw this.failure;
    const ended = new Promise<ExecutionEnd>((resolve) => {
      this.end_ = resolve;
      options.signal?.addEventListener('abort', () => resolve({ signal: 9, reason: 'aborted' }));
    });
    return { stdout: this.stdout, stderr: this.stderr, ended, kill: async () => true };
  }

  isHalted() {
    return this.halted;
  }

  async end(id: string) {
    this.killed.push(id);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a check', () => {
  it('is what its program prints and ends with, and bears a mark', async () => {
    const run = new Run();
    run.stdout.write('fine');
    run.stderr.write('!');
    await turn();
    run.end_({ code: 3, reason: 'exited' });
    expect(await run.outcome).toEqual({ code: 3, reason: 'exited', output: 'fine!' });
    expect(run.options?.env).toEqual({ [CHECK_MARK]: 'id' });
    expect(run.killed).toEqual([]);
  });

  it('is killed with all that it has started when its time is over', async () => {
    const run = new Run();
    await run.clock.step(999);
    expect(run.killed).toEqual([]);
    await run.clock.step(1);
    expect(await run.outcome).toEqual({ reason: 'time-limit', output: '' });
    expect(run.killed).toEqual(['id']);
  });

  it('has no time that passes while it stands still', async () => {
    const run = new Run();
    await run.clock.step(500);
    run.halted = true;
    await run.clock.step(60_000);
    expect(run.killed).toEqual([]);
    run.halted = false;
    await run.clock.step(600);
    expect(run.killed).toEqual(['id']);
  });

  it('says nothing where it has failed, and stood still meanwhile', async () => {
    const run = new Run();
    run.halted = true;
    await run.clock.step(200);
    run.halted = false;
    run.end_({ code: 1, reason: 'exited' });
    expect(await run.outcome).toBeUndefined();
  });

  it('says so where it has succeeded, although it stood still meanwhile', async () => {
    const run = new Run();
    run.halted = true;
    await run.clock.step(200);
    run.halted = false;
    run.end_({ code: 0, reason: 'exited' });
    expect(await run.outcome).toMatchObject({ code: 0 });
  });

  it('is killed when nobody wants to know any more', async () => {
    const run = new Run();
    run.over.abort();
    await run.outcome;
    expect(run.killed).toEqual(['id']);
  });

  it.each([
    ['ERR_COMMAND_NOT_FOUND', 127],
    ['ERR_COMMAND_NOT_EXECUTABLE', 126],
    ['ERR_START_FAILED', undefined],
  ] as const)('has failed where it could not be run, and tells why: %s', async (code, expected) => {
    const run = new Run(new ProvisionerError(code, 'there is no check', {}));
    expect(await run.outcome).toEqual({
      ...(expected === undefined ? {} : { code: expected }),
      reason: 'failed',
      output: expect.stringContaining('there is no check'),
    });
  });

  it.each([
    ['a full disk', Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })],
    ['no descriptor left', Object.assign(new Error('EMFILE: pipe2'), { code: 'EMFILE' })],
    [
      'a shortage beneath',
      new ProvisionerError('ERR_START_FAILED', 'no room', {
        cause: Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }),
      }),
    ],
  ])('has not been run where this machine does not come to that, for %s', async (_, failure) => {
    expect(await new Run(failure).outcome).toEqual({ reason: 'not-run', output: failure.message });
  });

  it('is read no more when it has ended, whatever it has left behind goes on to print', async () => {
    const run = new Run();
    await turn();
    run.end_({ code: 0, reason: 'exited' });
    expect(await run.outcome).toMatchObject({ code: 0 });
    expect([run.stdout.destroyed, run.stderr.destroyed]).toEqual([true, true]);
  });

  it('says nothing of a container that does not run', async () => {
    const run = new Run(new ProvisionerError('ERR_CONTAINER_NOT_RUNNING', 'it has ended', {}));
    expect(await run.outcome).toBeUndefined();
  });

  it('keeps 4 KiB of a flood, and reads the rest without haste', async () => {
    const run = new Run();
    let taken = 0;
    const write = () => {
      while (taken < 2 ** 24) {
        taken += 2 ** 14;
        if (!run.stdout.write('x'.repeat(2 ** 14))) return void run.stdout.once('drain', write);
      }
    };
    write();
    for (let turns = 0; turns < 100; turns++) await turn();
    expect(taken).toBeLessThan(2 ** 20);
    await run.clock.step(500);
    for (let turns = 0; turns < 100; turns++) await turn();
    expect(taken).toBeGreaterThan(2 ** 20);
    run.end_({ code: 0, reason: 'exited' });
    expect(await run.outcome).toEqual({ code: 0, reason: 'exited', output: 'x'.repeat(4096) });
  });
});
