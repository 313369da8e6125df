import { appendFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LaunchDirectory } from '#src/containerizer/launches/kept/launch-directory.js';
import { type LogSelection, readLog, readLogFromNowOn } from '#src/containerizer/logs/read-log.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

const line = (text: string, { stream = 'stdout', second = 0, tag = 'F' } = {}) =>
  `2026-11-30T06:26:${String(second).padStart(2, '0')}.000000000Z ${stream} ${tag} ${text}\n`;

/** What a part begins with. */
const mark = (number: number, { second = 0, before = 0 } = {}) =>
  line(`${number} 2026-11-30T06:26:${String(before).padStart(2, '0')}.000000000Z`, { stream: 'part', second });

const MISSED = 'some output was dropped before it was read\n';

function launchDirectory(): LaunchDirectory {
  const directory = new LaunchDirectory(temporaryDirectory());
  mkdirSync(directory.output);
  return directory;
}

async function read(
  directory: LaunchDirectory,
  selection: LogSelection = {},
  ended: Promise<unknown> = Promise.resolve(),
) {
  const found: string[] = [];
  for await (const { bytes } of readLog(directory, selection, ended)) found.push(bytes.toString());
  return found;
}

describe('the log of a program', () => {
  it('is empty when nothing was printed, also where there is no file yet', async () => {
    expect(await read(launchDirectory())).toEqual([]);
  });

  it('begins with the part that was put aside', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.olderLog, line('one'));
    writeFileSync(directory.log, line('two'));
    expect(await read(directory)).toEqual(['one\n', 'two\n']);
  });

  it('can be had from a time on', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, line('old', { second: 1 }) + line('new', { second: 2 }));
    expect(await read(directory, { since: new Date('2026-11-30T06:26:02Z') })).toEqual(['new\n']);
  });

  it('can be had by its last lines, whose parts count as one', async () => {
    const directory = launchDirectory();
    const lines = Array.from({ length: 1000 }, (_, index) => line(`l${index}`));
    writeFileSync(directory.log, lines.join('') + line('pa', { tag: 'P' }) + line('rt') + line('end', { tag: 'P' }));
    expect(await read(directory, { tail: 0 })).toEqual([]);
    expect(await read(directory, { tail: 1 })).toEqual(['end']);
    expect(await read(directory, { tail: 3 })).toEqual(['l999\n', 'pa', 'rt\n', 'end']);
    expect(await read(directory, { tail: 5000 })).toHaveLength(1003);
  });

  it('can be followed until its program has ended, over the change of files', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, line('0'));
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const found: string[] = [];
    let count = 1;
    for await (const { bytes } of readLog(directory, { follow: true }, ended)) {
      found.push(bytes.toString().trim());
      if (count === 40) end();
      else if (count % 10 === 0) {
        renameSync(directory.log, directory.olderLog);
        writeFileSync(directory.log, line(String(count++)));
      } else appendFileSync(directory.log, line(String(count++)));
    }
    expect(found).toEqual(Array.from({ length: 40 }, (_, index) => String(index)));
  });

  it('tells whoever follows it too slowly where something was dropped, and nobody else', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, line('0'));
    const part = (number: number) => {
      renameSync(directory.log, directory.olderLog);
      writeFileSync(directory.log, mark(number) + line(`${number}`));
    };
    const found: string[] = [];
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    // What comes while an entry is being looked at.
    const meanwhile = new Map([
      ['stdout 0', [1]],
      // The part after the one that is read is there, though it is not the last one.
      ['stdout 1', [2, 3]],
      ['stdout 3', [4, 5, 6]],
      ['stdout 6', [7, 8, 9, 10]],
    ]);
    for await (const { stream, bytes } of readLog(directory, { follow: true }, ended)) {
      const entry = `${stream} ${bytes.toString().trim()}`;
      found.push(entry);
      for (const number of meanwhile.get(entry) ?? []) part(number);
      if (entry === 'stdout 10') end();
    }
    const missed = 'monitor some output was dropped before it was read';
    const numbers = (...all: number[]) => all.map((number) => `stdout ${number}`);
    expect(found).toEqual([...numbers(0, 1, 2, 3), missed, ...numbers(5, 6), missed, ...numbers(9, 10)]);
  });

  it('tells whoever wants it from a time on whether something has been dropped since then', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.olderLog, mark(3, { second: 30, before: 20 }) + line('one', { second: 30 }));
    writeFileSync(directory.log, mark(4, { second: 40, before: 30 }) + line('two', { second: 40 }));
    const since = (second: number) => read(directory, { since: new Date(Date.UTC(2026, 10, 30, 6, 26, second)) });
    expect(await since(10)).toEqual([MISSED, 'one\n', 'two\n']);
    expect(await since(25)).toEqual(['one\n', 'two\n']);
    expect(await read(directory)).toEqual(['one\n', 'two\n']);
    expect(await read(directory, { tail: 5 })).toEqual(['one\n', 'two\n']);
  });

  it('tells whoever begins with what comes next when that was dropped', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, mark(7) + line('old'));
    const next = async (...numbers: number[]) => {
      const { entries, close } = await readLogFromNowOn(directory, Promise.resolve(), undefined);
      for (const number of numbers) {
        renameSync(directory.log, directory.olderLog);
        writeFileSync(directory.log, mark(number) + line(`${number}`));
      }
      const found: string[] = [];
      for await (const { bytes } of entries) found.push(bytes.toString());
      close();
      return found;
    };
    expect(await next(8)).toEqual(['8\n']);
    expect(await next(9, 10)).toEqual(['9\n', '10\n']);
    expect(await next(11, 12, 13)).toEqual([MISSED, '12\n', '13\n']);
  });

  it('stops being followed when the signal says so', async () => {
    const directory = launchDirectory();
    writeFileSync(directory.log, line('one'));
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of readLog(directory, { follow: true, signal: controller.signal }, new Promise(() => {})))
        controller.abort(new Error('enough'));
    })();
    await expect(reading).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: new Error('enough') });
  });

  it('is not read through a link that stands in its place', async () => {
    const directory = launchDirectory();
    const other = join(temporaryDirectory(), 'secret');
    writeFileSync(other, line('secret'));
    symlinkSync(other, directory.log);
    await expect(read(directory)).rejects.toThrow('ELOOP');
  });
});
