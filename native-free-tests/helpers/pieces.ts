import { expect } from 'vitest';

/** Some tens of kilobytes that deflate to a third. */
export const text = Buffer.from(
  Array.from({ length: 4000 }, (_, line) => `line ${line * 7919} ${line % 13}\n`).join(''),
);

/** The bytes as a stream may deliver them: a piece is overwritten when the next one is asked for. */
export async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) {
    const piece = Buffer.from(bytes.subarray(start, start + size));
    yield piece;
    piece.fill(0xee);
  }
}

/** What the stored bytes inflate to; all of them must be read. @param inflate gives pieces that are good until the next one is asked for */
export async function inflated(
  stored: Buffer,
  size: number,
  inflate: (pieces: AsyncGenerator<Buffer>) => AsyncGenerator<Buffer, void, undefined>,
): Promise<Buffer> {
  const output: Buffer[] = [];
  let read = 0;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const piece of inPieces(stored, size)) {
      read += piece.length;
      yield piece;
    }
  };
  for await (const chunk of inflate(counted())) output.push(Buffer.from(chunk));
  expect(read, 'stored bytes read').toBe(stored.length);
  return Buffer.concat(output);
}

/** What it fails with. */
export async function failureOf(inflating: Promise<Buffer>): Promise<unknown> {
  try {
    await inflating;
  } catch (error) {
    return error;
  }
  throw new Error('it was inflated');
}
