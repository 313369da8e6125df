import { describe, expect, it } from 'vitest';
import { Failures } from '#src/cli/failures.js';
import { Interruption } from '#src/cli/interruption.js';
import { Output } from '#src/cli/output/output.js';
import { ProvisionerError } from '#src/index.js';

function failures(signal = new AbortController().signal) {
  const told = { stderr: '' };
  const stderr = { write: (text: unknown) => (told.stderr += text) };
  const output = new Output({ stdout: { write: () => true }, stderr, json: false, quiet: false, debug: false });
  return { told, failures: new Failures(output, signal) };
}

describe('work that is begun at once for each of several arguments', () => {
  it('is told in their order, whichever is done first', async () => {
    const ends = new Map<string, () => void>();
    const told: string[] = [];
    const { failures: own } = failures();
    const all = own.eachAtOnce(
      ['a', 'b', 'c'],
      (name) => new Promise<void>((resolve) => ends.set(name, resolve)),
      (_, name) => {
        told.push(name);
        return name.toUpperCase();
      },
    );
    expect([...ends.keys()]).toEqual(['a', 'b', 'c']);
    ends.get('c')?.();
    ends.get('a')?.();
    await expect.poll(() => told).toEqual(['a']);
    ends.get('b')?.();
    expect(await all).toEqual(['A', 'B', 'C']);
    expect([told, own.exitStatus]).toEqual([['a', 'b', 'c'], 0]);
  });

  it('goes on for the others when one fails, which is told in its turn', async () => {
    const { failures: own, told } = failures();
    const done = await own.eachAtOnce(
      ['a', 'b', 'c'],
      async (name) => {
        if (name !== 'c') throw new ProvisionerError('ERR_CONTAINER_NOT_FOUND', `no ${name}`);
      },
      (_, name) => name,
    );
    expect(done).toEqual(['c']);
    expect(own.exitStatus).toBe(1);
    expect(told.stderr).toMatch(/^provisioner: no a\n(?:hint: .*\n)?provisioner: no b\n/);
  });

  it('is not begun after an interruption, which is told once', async () => {
    const interrupted = AbortSignal.abort(new Interruption('SIGINT'));
    const { failures: own, told } = failures(interrupted);
    let begun = 0;
    const begin = async () => ++begun;
    expect(await own.eachAtOnce(['a', 'b'], begin, (number) => number)).toEqual([]);
    expect(begun).toBe(0);
    expect(own.exitStatus).toBe(130);
    expect(told.stderr.match(/^provisioner: /gm)).toHaveLength(1);
  });
});
