import { describe, expect, it } from 'vitest';
import { type Counting, countSpace } from '#src/containerizer/space/count-space.js';

const MIB = 2 ** 20;

/** Something that grows as time passes, which passes only when it is waited for. */
class Growing implements Counting {
  readonly over = new AbortController();
  now = 0;
  /** Bytes at a time. */
  size: (now: number) => number = () => 0;
  most: number | undefined = 100 * MIB;
  took = 1;
  looks: number[] = [];
  ends = 0;
  isHeld = false;
  isLetGo = false;
  noted = false;
  /** When nobody watches any more. */
  until = 60_000;
  /** How often it has to be killed. */
  lives = 1;

  readonly clock = {
    now: () => this.now,
    pause: async (milliseconds: number, over: AbortSignal) => {
      this.now += milliseconds;
      if (this.now >= this.until) this.over.abort();
      over.throwIfAborted();
    },
  };
  hold() {
    return this.isHeld ? undefined : { close: () => (this.isLetGo = true) };
  }
  async measure(_: AbortSignal, onStart: () => void) {
    onStart();
    this.now += this.took;
    this.looks.push(this.now);
    return this.size(this.now);
  }
  limit() {
    return this.most;
  }
  isNoted() {
    return this.noted;
  }
  note() {
    expect(this.ends).toBe(0);
    this.noted = true;
  }
  end() {
    this.ends++;
    if (this.ends === this.lives) this.over.abort();
  }
  run() {
    return countSpace(this, this.over.signal, this.clock);
  }
}

describe('what counts disk space', () => {
  it('ends what is over its limit, as often as it takes, and has noted that before', async () => {
    const growing = new Growing();
    growing.size = (now) => now * 10 * 1024;
    growing.lives = 3;
    await growing.run();
    expect([growing.ends, growing.noted, growing.isLetGo]).toEqual([3, true, true]);
    // 100 MiB are there after ten seconds.
    expect(growing.looks.at(-1)).toBeGreaterThan(10_000);
    expect(growing.looks.at(-1)).toBeLessThan(11_500);
  });

  it('leaves alone what has just as much as it may', async () => {
    const growing = new Growing();
    growing.size = () => 100 * MIB;
    await growing.run();
    expect([growing.ends, growing.noted, growing.isLetGo]).toEqual([0, false, true]);
  });

  it('looks a tenth of the time at most, whatever a look takes', async () => {
    const growing = new Growing();
    growing.took = 3000;
    growing.until = 600_000;
    growing.size = (now) => 99 * MIB + now;
    await growing.run();
    expect(growing.looks.length).toBeGreaterThan(15);
    expect(growing.looks.length * growing.took).toBeLessThanOrEqual(growing.now / 10 + growing.took);
  });

  it('goes by the limit as it is then', async () => {
    const growing = new Growing();
    growing.size = () => 50 * MIB;
    growing.measure = async () => {
      growing.now += 1;
      if (growing.now > 20_000) growing.most = 40 * MIB;
      return 50 * MIB;
    };
    await growing.run();
    expect(growing.ends).toBe(1);
    expect(growing.now).toBeGreaterThan(20_000);
  });

  it('waits while another process counts, and goes on when that has died', async () => {
    const growing = new Growing();
    growing.isHeld = true;
    growing.size = () => 200 * MIB;
    const { pause } = growing.clock;
    growing.clock.pause = async (milliseconds, over) => {
      expect([growing.looks, growing.ends]).toEqual([[], 0]);
      if (growing.now > 5000) growing.isHeld = false;
      await pause(milliseconds, over);
    };
    await growing.run();
    expect(growing.ends).toBe(1);
  });

  it('ends at once what another one had found to be over it, and died', async () => {
    const growing = new Growing();
    growing.noted = true;
    await growing.run();
    expect([growing.looks, growing.ends]).toEqual([[], 1]);
  });

  it('ends what nobody can note that it is over its limit, and notes it when that can be done', async () => {
    const growing = new Growing();
    growing.size = () => 200 * MIB;
    growing.lives = 3;
    let notes = 0;
    growing.note = () => {
      if (++notes < 3) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      growing.noted = true;
    };
    await growing.run();
    expect([growing.ends, growing.noted]).toEqual([3, true]);
  });

  it('goes on when the limit cannot be read, or what is over it cannot be killed, for once', async () => {
    const growing = new Growing();
    growing.size = () => 200 * MIB;
    let failures = 0;
    const failing =
      <T>(work: () => T) =>
      (): T => {
        if (failures++ % 2 === 0) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
        return work();
      };
    growing.limit = failing(growing.limit.bind(growing));
    growing.end = failing(growing.end.bind(growing));
    await growing.run();
    expect([failures, growing.ends]).toEqual([4, 1]);
  });

  it('looks now and then while another one counts, which may have been stopped', async () => {
    const growing = new Growing();
    growing.isHeld = true;
    growing.until = 600_000;
    growing.size = (now) => (now > 100_000 ? 200 * MIB : 0);
    await growing.run();
    expect(growing.ends).toBe(1);
    expect(growing.now).toBeLessThan(100_000 + 20_000);
    expect(growing.looks.length).toBeLessThan(10);
    expect(growing.isLetGo).toBe(false);
  });

  it('ends what another one has found to be over its limit, and is stopped before it has killed it', async () => {
    const growing = new Growing();
    growing.isHeld = true;
    const { pause } = growing.clock;
    growing.clock.pause = async (milliseconds, over) => {
      if (growing.now > 3000) growing.noted = true;
      await pause(milliseconds, over);
    };
    await growing.run();
    expect([growing.looks, growing.ends]).toEqual([[], 1]);
  });

  it('does not take for a look how long it has waited for its turn', async () => {
    const growing = new Growing();
    growing.until = 600_000;
    let looks = 0;
    growing.measure = async (_, onStart) => {
      // As long as others are at work.
      if (looks++ < 2) growing.now += 20_000;
      onStart();
      growing.now += 10;
      return growing.now > 41_000 ? 200 * MIB : MIB;
    };
    await growing.run();
    expect(growing.ends).toBe(1);
    expect(growing.now).toBeLessThan(45_000);
  });

  it('goes on when a look fails, and stops when nobody watches any more', async () => {
    const growing = new Growing();
    let failures = 0;
    growing.measure = async () => {
      if (failures++ < 2) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
      return 200 * MIB;
    };
    await growing.run();
    expect([failures, growing.ends]).toEqual([3, 1]);

    const left = new Growing();
    left.until = 300;
    await left.run();
    expect([left.looks.length, left.ends, left.isLetGo]).toEqual([2, 0, true]);
  });
});
