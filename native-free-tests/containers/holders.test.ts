import { describe, expect, it } from 'vitest';
import { type ContainerHolder, Holders } from '#src/containers/holders.js';

/** Holds the containers of these ids, and notes what it is told to end. */
class RunsIn implements ContainerHolder {
  readonly ended: string[] = [];
  readonly #ids: Set<string>;
  constructor(...ids: readonly string[]) {
    this.#ids = new Set(ids);
  }
  running(id: string) {
    return this.#ids.has(id) ? `process 7 runs in ${id}` : undefined;
  }
  async end(id: string) {
    this.ended.push(id);
    this.#ids.delete(id);
  }
  held() {
    return [...this.#ids];
  }
}

describe('containers that something runs in', () => {
  it('are not let go, and nothing has been ended then', async () => {
    const holders = new Holders();
    const [one, other] = [new RunsIn('job/a'), new RunsIn('job')];
    holders.add(one);
    holders.add(other);
    await expect(holders.release(['job/a', 'job'], 'refuse', undefined)).rejects.toMatchObject({
      code: 'ERR_CONTAINER_RUNNING',
      message: expect.stringContaining('process 7 runs in job/a'),
      details: { containerId: 'job/a' },
    });
    expect([one.ended, other.ended]).toEqual([[], []]);
  });

  it('are let go when what runs is to be killed: each once, children before parents, by whoever holds it', async () => {
    const holders = new Holders();
    const [one, other] = [new RunsIn('job/a', 'job'), new RunsIn('elsewhere')];
    holders.add(one);
    holders.add(other);
    await holders.release(['job/a', 'job', 'job'], 'kill', undefined);
    expect([one.ended, other.ended]).toEqual([['job/a', 'job'], []]);
    await holders.release(['job/a', 'job'], 'refuse', undefined);
  });

  it('are named all together, until their holder is taken out', async () => {
    const holders = new Holders();
    const takeOut = holders.add(new RunsIn('a', 'b'));
    holders.add(new RunsIn('c'));
    expect(await holders.held()).toEqual(['a', 'b', 'c']);
    takeOut();
    expect(await holders.held()).toEqual(['c']);
    await holders.release(['a'], 'refuse', undefined);
  });
});
