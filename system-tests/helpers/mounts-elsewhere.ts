import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, vi } from 'vitest';

/**
 * Waits until no process sees a mount of which its table says these words. A mount namespace that a test beside this one made has a copy of all that
 * was mounted then, and keeps it for as long as it lives.
 * @param words such as the name of a store's directory
 */
export async function mountsGone(words: string): Promise<void> {
  const ofWhom = () =>
    readdirSync('/proc').filter((process) => /^\d+$/.test(process) && tableOf(process).includes(words));
  await vi.waitFor(() => expect(ofWhom()).toEqual([]), { timeout: 60_000, interval: 50 });
}

function tableOf(process: string): string {
  try {
    return readFileSync(join('/proc', process, 'mountinfo'), 'utf8');
  } catch {
    // It has ended.
    return '';
  }
}
