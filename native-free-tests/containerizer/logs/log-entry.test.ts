import { describe, expect, it } from 'vitest';
import { LogLines, parseLogLine } from '#src/containerizer/logs/log-entry.js';

const TIME = '2026-11-30T06:26:16.848349733Z';
const text = (line: string) => {
  const entry = parseLogLine(Buffer.from(line));
  return entry && `${entry.stream} ${JSON.stringify(entry.bytes.toString())}`;
};

describe('a line of a log', () => {
  it('is a line that was printed, or a part of one', () => {
    expect(text(`${TIME} stdout F hello`)).toBe('stdout "hello\\n"');
    expect(text(`${TIME} stderr P pass`)).toBe('stderr "pass"');
    expect(text(`${TIME} stdout F `)).toBe('stdout "\\n"');
    expect(text(`${TIME} monitor F 12 bytes of stdout could not be kept`)).toContain('monitor');
  });

  it('keeps every byte, and when it was read', () => {
    const bytes = Buffer.of(0, 0xff, 0x20, 0x0d, 0x80);
    const entry = parseLogLine(Buffer.concat([Buffer.from(`${TIME} stdout P `), bytes]));
    expect(entry?.bytes).toEqual(bytes);
    expect(entry?.timestamp).toBe(TIME);
    expect(entry?.time.toISOString()).toBe('2026-11-30T06:26:16.848Z');
  });

  it.each(['', 'x', TIME, `${TIME} stdout`, `${TIME} stdout F`, `${TIME} other F x`, 'yesterday stdout F x'])(
    'is none when a full disk left %j of it',
    (line) => expect(text(line)).toBeUndefined(),
  );
});

describe('what is read of a log in pieces', () => {
  const whole = Buffer.from(['F one', 'P two', 'F ', 'F fünf'].map((part) => `${TIME} stdout ${part}\n`).join(''));

  it.each([1, 2, 7, 40, 1000])('gives the same entries when it comes %i bytes at a time', (size) => {
    const lines = new LogLines();
    const found: string[] = [];
    for (let at = 0; at < whole.length; at += size) {
      for (const { bytes } of lines.take(whole.subarray(at, at + size))) found.push(bytes.toString());
    }
    expect(found).toEqual(['one\n', 'two', '\n', 'fünf\n']);
  });

  it('leaves out what has not been written to its end yet', () => {
    expect([...new LogLines().take(whole.subarray(0, whole.length - 1))]).toHaveLength(3);
  });
});
