import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Assembly, type Service, takeAll } from '#src/base/assembly.js';

/** Notes what is opened and closed. */
interface Log {
  readonly said: string[];
}

function assembly(): { readonly log: Log; readonly all: Assembly<Log> } {
  const log = { said: [] };
  return { log, all: new Assembly(log) };
}

function noting<T>(
  name: string,
  open: Service<Log, T>['open'],
  close: () => unknown = () => {},
): Service<Log, T> & { readonly said: string[] } {
  const said: string[] = [];
  return {
    said,
    open: (log, get) => {
      log.said.push(`open ${name}`);
      const opened = open(log, get);
      said.push(name);
      return opened;
    },
    close: () => close(),
  };
}

describe('services', () => {
  it('are opened when they are first asked for, once, and what they need before', async () => {
    const { log, all } = assembly();
    const low = noting('low', () => ({ name: 'low' }));
    const high = noting('high', (_, get) => ({ name: 'high', low: get(low) }));
    const never = noting('never', () => ({}));
    expect(await all.ifOpened(never)).toBeUndefined();
    expect(all.get(high).low).toBe(all.get(low));
    expect(all.get(high)).toBe(all.get(high));
    expect(log.said).toEqual(['open high', 'open low']);
    expect(await all.ifOpened(low)).toEqual({ name: 'low' });
  });

  it('are opened once by all who ask at the same time, also when that takes a while', async () => {
    const { log, all } = assembly();
    const slow = noting('slow', async () => {
      await sleep(1);
      return {};
    });
    const [one, two] = await Promise.all([all.get(slow), all.get(slow)]);
    expect(one).toBe(two);
    expect(log.said).toEqual(['open slow']);
  });

  it('are closed before what they need, however long each took to open', async () => {
    const { all } = assembly();
    const closed: string[] = [];
    const service = <T>(name: string, open: Service<Log, T>['open']) => noting(name, open, () => closed.push(name));
    const low = service('low', async () => {
      await sleep(2);
      return {};
    });
    const aside = service('aside', () => ({}));
    const high = service('high', async (_, get) => ({ low: await get(low), aside: get(aside) }));
    await all.get(high);
    await all.close();
    expect(closed).toEqual(['high', 'aside', 'low']);
  });

  it('are all closed, whatever fails, also those that are only just being opened', async () => {
    const { all } = assembly();
    const closed: string[] = [];
    const service = (name: string, fails: boolean) =>
      noting(
        name,
        async () => {
          await sleep(1);
          return {};
        },
        () => {
          closed.push(name);
          if (fails) throw new Error(name);
        },
      );
    all.get(service('first', true));
    all.get(service('second', false));
    all.get(service('third', true));
    await expect(all.close()).rejects.toThrow('third');
    expect(closed).toEqual(['third', 'second', 'first']);
    await all.close();
    expect(closed).toHaveLength(3);
  });

  it('that are not open when the others are being closed are not opened any more', async () => {
    const { log, all } = assembly();
    const late = noting('late', () => ({}));
    const low = noting('low', () => ({}));
    const closed: unknown[] = [];
    const high = noting(
      'high',
      (_, get) => get(low),
      () => closed.push(all.get(low), expect(() => all.get(late)).toThrow('closed')),
    );
    all.get(high);
    await all.close();
    expect(closed).toHaveLength(2);
    expect(() => all.get(late)).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
    expect(log.said).toEqual(['open high', 'open low']);
  });

  it('that cannot be opened at once are not tried again either', async () => {
    const { log, all } = assembly();
    const broken = noting('broken', () => {
      throw new Error('no');
    });
    expect(() => all.get(broken)).toThrow('no');
    expect(() => all.get(broken)).toThrow('no');
    expect(await all.ifOpened(broken)).toBeUndefined();
    await all.close();
    expect(log.said).toEqual(['open broken']);
  });

  it('that cannot be opened say so to all who ask, and are not closed', async () => {
    const { log, all } = assembly();
    const closed: string[] = [];
    const broken = noting(
      'broken',
      async () => {
        throw new Error('no');
      },
      () => closed.push('broken'),
    );
    await expect(all.get(broken)).rejects.toThrow('no');
    await expect(all.get(broken)).rejects.toThrow('no');
    expect(await all.ifOpened(broken)).toBeUndefined();
    await all.close();
    expect(closed).toEqual([]);
    expect(log.said).toEqual(['open broken']);
  });
});

describe('steps', () => {
  it('are all taken in their order, whatever fails, and the first failure is told at the end', async () => {
    const taken: string[] = [];
    const step =
      (name: string, fails = false) =>
      async () => {
        await sleep(1);
        taken.push(name);
        if (fails) throw new Error(name);
      };
    const thrown = () => {
      taken.push('at once');
      throw new Error('at once');
    };
    await expect(takeAll([step('a'), step('b', true), thrown, step('c', true), step('d')])).rejects.toThrow('b');
    expect(taken).toEqual(['a', 'b', 'at once', 'c', 'd']);
    await takeAll([step('e')]);
  });
});
