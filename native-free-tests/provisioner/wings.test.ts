import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Provisioner, type Service } from '#src/index.js';
import { openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

describe('what stands on a provisioner', () => {
  it('is opened when it is first asked for, may use the store until it has ended, and ends before the store does', async () => {
    const p = await openMemoryStore();
    const closed: unknown[] = [];
    let opened = 0;
    const wing: Service<Provisioner, { readonly number: number }> = {
      open: () => ({ number: ++opened }),
      close: async () => closed.push((await p.store.info()).root),
    };
    const above: Service<Provisioner, Promise<string>> = {
      open: async (_, get) => `on ${get(wing).number}`,
      close: (name) => closed.push(name),
    };
    expect(await p.use(above)).toBe('on 1');
    expect(p.use(wing)).toBe(p.use(wing));
    await Promise.all([p.close(), p.close()]);
    expect(closed).toEqual(['on 1', p.root]);
    expect(() => p.use(wing)).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
  });

  it('that fails to end keeps the store from nothing', async () => {
    const p = await Provisioner.open({ root: join(temporaryDirectory(), 'store'), records: 'memory' });
    p.use({
      open: () => 'wing',
      close: () => {
        throw new Error('it would not end');
      },
    });
    await expect(p.close()).rejects.toThrow('it would not end');
    await expect(p.images.list()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
