import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeWith } from '../helpers/requirements.js';
import { APP_V1, APP_V2, newStore } from './run-cli.js';

/** What faketime sets, so that a command lives at another time. @param offset such as `+2d` */
function at(offset: string): Record<string, string> {
  const preload = execFileSync('faketime', ['-f', offset, 'printenv', 'LD_PRELOAD'], { encoding: 'utf8' }).trim();
  return { LD_PRELOAD: preload, FAKETIME: offset };
}

describeWith(['faketime'], 'a store that was used while the clock was two days ahead', () => {
  const pulledAhead = async () => {
    const store = newStore();
    const pulled = await store.run(['pull', APP_V1, '--name', 'app:v1'], { env: at('+2d') });
    expect(pulled.status, pulled.stderr).toBe(0);
    return store;
  };
  const names = async (store: ReturnType<typeof newStore>): Promise<string[]> => {
    const { stdout } = await store.run(['images', '--json']);
    return (JSON.parse(stdout) as { names: string[] }[]).flatMap((image) => image.names).sort();
  };

  it('has its images pruned as any others', async () => {
    const store = await pulledAhead();
    expect((await store.run(['prune'])).status).toBe(0);
    expect(await names(store)).toEqual([]);
  });

  it('keeps them as just used for the age that a prune keeps, and no longer', async () => {
    const store = await pulledAhead();
    await store.run(['prune', '--older-than', '1h', '--dry-run']);
    await store.run(['prune', '--older-than', '1h'], { env: at('+50m') });
    expect(await names(store)).toEqual(['docker.io/library/app:v1']);
    await store.run(['prune', '--older-than', '1h'], { env: at('+70m') });
    expect(await names(store)).toEqual([]);
  });

  it('keeps what was used later before what was used earlier', async () => {
    const store = await pulledAhead();
    await store.run(['pull', APP_V2, '--name', 'app:v2']);
    const { stdout } = await store.run(['images', '--json']);
    const images = JSON.parse(stdout) as { names: string[]; bytes: number; lastUsed: string }[];
    for (const { lastUsed } of images) expect(Date.parse(lastUsed)).toBeLessThanOrEqual(Date.now());
    const size = images.find((image) => image.names.includes('docker.io/library/app:v2'))?.bytes;
    expect((await store.run(['prune', '--keep', String(size)])).status).toBe(0);
    expect(await names(store)).toEqual(['docker.io/library/app:v2']);
  });

  it('is listed with no age below nothing', async () => {
    const store = await pulledAhead();
    await store.run(['provision', 'job', 'app:v1', '--backend', 'copy'], { env: at('+2d') });
    for (const command of ['images', 'ps']) {
      const { status, stdout } = await store.run([command]);
      expect(status).toBe(0);
      expect(stdout).toContain('0 seconds');
      expect(stdout).not.toMatch(/-\d+ (second|minute|hour|day)/);
    }
  });
});
