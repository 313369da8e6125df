import type { LayerProgress } from '../../index.js';
import { formatSize } from './human-units.js';
import { shortDigest } from './short-digest.js';

/** Characters of a bar, where there is room. */
const LONGEST = 40;
const SHORTEST = 10;

/**
 * One layer in one line: `abababababab [========>      ]  12.3MB/45.6MB   3.2MB/s unpacking`. The bar is what gives way in a narrow terminal, then the end.
 * @param columns of the terminal
 */
export function formatLayerBar({ layer, phase, bytes, total, bytesPerSecond }: LayerProgress, columns: number): string {
  const amount = (total >= 0 ? `${formatSize(bytes)}/${formatSize(total)}` : formatSize(bytes)).padStart(17);
  const speed = `${formatSize(bytesPerSecond)}/s`.padStart(10);
  // It waits for the others, to be published with them.
  const label = phase === 'unpacking' && bytes === total ? 'unpacked' : phase;
  const before = `${shortDigest(layer)} `;
  const after = ` ${amount} ${speed} ${label}`;
  // The last column stays free: some terminals break the line when it is written.
  const room = Math.min(LONGEST, columns - 1 - before.length - after.length - 2);
  const bar = room >= SHORTEST ? `[${drawBar(bytes, total, room)}]` : '';
  return `${before}${bar}${after}`.slice(0, Math.max(0, columns - 1));
}

function drawBar(bytes: number, total: number, length: number): string {
  const share = total > 0 ? Math.min(1, bytes / total) : 0;
  const done = Math.floor(share * length);
  if (done === length) return '='.repeat(length);
  return `${'='.repeat(done)}>`.padEnd(length);
}
