import { readdirSync, readlinkSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { expect, test, vi } from 'vitest';
import type { Attachment, Execution } from '#src/containerizer/index.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  launchPath,
  otherContainerizer,
  processesOf,
  sh,
  storeWithBusybox,
} from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

const SIZE = { rows: 41, columns: 62 };
const SOON = { timeout: 10_000, interval: 5 };
const CONTROL_D = '\x04';

/** What somebody sees who sits there. */
class Seen {
  #text = '';
  readonly over: Promise<void>;

  constructor(output: AsyncIterable<{ readonly bytes: Uint8Array } | Uint8Array>) {
    this.over = this.#read(output);
    // A test that fails before it asks.
    this.over.catch(() => undefined);
  }

  get text(): string {
    return this.#text;
  }

  async shows(what: string): Promise<void> {
    await vi.waitFor(() => expect(this.#text).toContain(what), SOON);
  }

  async #read(output: AsyncIterable<{ readonly bytes: Uint8Array } | Uint8Array>): Promise<void> {
    for await (const piece of output) this.#text += Buffer.from('bytes' in piece ? piece.bytes : piece).toString();
  }
}

/**
 * Interrupts what runs on a terminal, and waits for the second prompt: what is typed before an interruption has been obeyed goes with it.
 * What is interrupted has to have said itself that it runs: a shell that is interrupted as it starts something may start it all the same.
 */
async function interrupt(terminal: Attachment['terminal'] | undefined, seen: Seen): Promise<void> {
  terminal?.input.write('\x03');
  await vi.waitFor(() => expect(seen.text.split('box42# ')).toHaveLength(3), SOON);
}

const NOTHING: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };

const seenOf = ({ stdout, stderr }: Execution): Seen => {
  stderr.resume();
  return new Seen(stdout);
};

describeWith(['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups'], 'a program that has a terminal', () => {
  describeWith([], 'of its container', () => {
    test.each(['crun', 'runc'] as const)(
      'by %s: it has the right size from its first line on, and is told each new one',
      async (runtime) => {
        const { containers, root } = await storeWithBusybox({ runtime });
        const script =
          'tty; stty size; trap "stty size" WINCH; read line; echo "read $line"; while :; do sleep 0.05; done';
        const { terminal, output = NOTHING } = await containers.launch('job', IMAGE, {
          ...sh(script),
          terminal: SIZE,
          attach: true,
        });
        const seen = new Seen(output);
        await seen.shows('/dev/pts/0\r\n41 62\r\n');
        terminal?.input.write('hello\n');
        await seen.shows('read hello');
        for (const [rows, columns] of [
          [33, 99],
          [50, 200],
          [1000, 1000],
        ] as const) {
          terminal?.resize({ rows, columns });
          await seen.shows(`\r\n${rows} ${columns}\r\n`);
        }
        expect(await containers.get('job')).toMatchObject({ hasTerminal: true, state: 'running' });
        await containers.kill('job');
        expect(await containers.wait('job')).toMatchObject({ signal: 9 });
        await seen.over;
        await containers.destroy('job');
        await expectNothingLeft(root);
      },
    );

    test.each(['root', 'alice'])('is that of %s, who may open it', async (user) => {
      const { containers } = await storeWithBusybox();
      const script =
        'echo one >/dev/tty; echo two >/dev/console; echo three >"$(tty)"; test -t 0 -a -t 1 -a -t 2 && echo $TERM';
      const { output = NOTHING } = await containers.launch('job', IMAGE, {
        ...sh(script),
        user,
        terminal: SIZE,
        attach: true,
      });
      const seen = new Seen(output);
      expect(await containers.wait('job')).toMatchObject({ code: 0 });
      await seen.over;
      expect(seen.text).toBe('one\r\ntwo\r\nthree\r\nxterm\r\n');
    });

    test('means the same by control characters as every terminal does', async () => {
      const { containers } = await storeWithBusybox();
      const options = { command: ['sh'], env: { PS1: 'box$((6 * 7))# ' }, terminal: SIZE, attach: true };
      const { terminal, output = NOTHING } = await containers.launch('job', IMAGE, options);
      const seen = new Seen(output);
      terminal?.input.write('sh -c "echo now; exec sleep 60"\n');
      await seen.shows('now\r\n');
      await interrupt(terminal, seen);
      terminal?.input.write('echo rc $?; cat; echo cat $?\n');
      await seen.shows('rc 130');
      terminal?.input.write(CONTROL_D);
      await seen.shows('cat 0');
      terminal?.input.write('exit 7\n');
      expect(await containers.wait('job')).toMatchObject({ code: 7, reason: 'exited' });
    });

    test('is there for whoever sits down, any number at once, in other processes too', async () => {
      const { containers, root } = await storeWithBusybox();
      await containers.launch('job', IMAGE, { command: ['sh'], terminal: SIZE });
      const other = await again(root);
      const sitting: Attachment[] = [await containers.attach('job'), await other.containers.attach('job')];
      const seen = sitting.map(({ output }) => new Seen(output));
      for (const [index, { terminal }] of sitting.entries()) {
        terminal.input.write(`echo from ${index}-$((6 * 7))\n`);
        for (const each of seen) await each.shows(`from ${index}-42\r\n`);
      }
      // One gets up, the other stays.
      sitting[0]?.terminal.close();
      sitting[1]?.terminal.input.write('echo still $((6 * 7))\n');
      await seen[1]?.shows('still 42\r\n');
      await containers.kill('job');
      await Promise.all(seen.map(({ over }) => over));
    });

    test('gets what several type in whole pieces, however much it is', async () => {
      const { containers } = await storeWithBusybox();
      const script = 'stty raw -echo; echo ready; head -c 420000 | tr -d "\\n" >/typed; sleep 60';
      await containers.launch('job', IMAGE, { ...sh(script), terminal: SIZE });
      const sitting = [await containers.attach('job'), await containers.attach('job')];
      const seen = sitting.map(({ output }) => new Seen(output));
      await vi.waitFor(async () => {
        const lines: string[] = [];
        for await (const { bytes } of containers.logs('job')) lines.push(bytes.toString());
        expect(lines.join('')).toContain('ready');
      }, SOON);
      // A frame holds as much as the kernel writes in one piece.
      const piece = 4093;
      const typed = sitting.map(async ({ terminal }, index) => {
        const bytes = Buffer.alloc(piece, index === 0 ? 'a' : 'b');
        for (let times = 0; times < 49; times++) await new Promise((resolve) => terminal.input.write(bytes, resolve));
      });
      await Promise.all(typed);
      for (const { terminal } of sitting) await new Promise((resolve) => terminal.input.write('\n', resolve));
      sitting[0]?.terminal.input.write('.'.repeat(420_000 - 2 * 49 * piece));
      await vi.waitFor(async () => {
        const { size } = await containers.files('job').stat('/typed');
        expect(size).toBeGreaterThan(2 * 49 * piece);
      }, SOON);
      const written = Buffer.concat(await piecesOf(containers.files('job').read('/typed'))).toString();
      for (const run of written.slice(0, 2 * 49 * piece).match(/a+|b+/g) ?? []) expect(run.length % piece).toBe(0);
      await containers.kill('job');
      await Promise.all(seen.map(({ over }) => over));
    });

    test('waits for nobody who does not read, and what it shows is in its log', async () => {
      const { containers } = await storeWithBusybox();
      const script = 'seq 200000; echo "$(stty size) done"';
      const { output } = await containers.launch('job', IMAGE, { ...sh(script), terminal: SIZE, attach: true });
      expect(await containers.wait('job')).toMatchObject({ code: 0 });
      const seen = new Seen(output ?? NOTHING);
      await seen.over;
      const lines = seen.text.split('\r\n');
      expect(lines).toHaveLength(200_002);
      expect(lines.at(-2)).toBe('41 62 done');
      let log = '';
      for await (const { bytes } of containers.logs('job')) log += bytes.toString();
      expect(log).toBe(seen.text);
    });

    test('may close it and open it again', async () => {
      const { containers } = await storeWithBusybox();
      const script =
        'exec </dev/null >/dev/null 2>&1; sleep 0.3; echo back >/dev/console; sleep 0.3; read line </dev/console; exit $line';
      const { terminal, output = NOTHING } = await containers.launch('job', IMAGE, {
        ...sh(script),
        terminal: SIZE,
        attach: true,
      });
      const seen = new Seen(output);
      await seen.shows('back\r\n');
      terminal?.input.write('5\n');
      expect(await containers.wait('job')).toMatchObject({ code: 5 });
    });

    test('has one also when it is started later, and once more', async () => {
      const { containers, root } = await storeWithBusybox();
      const script = 'stty size; read line; echo "read $line"; exit 3';
      await containers.create('job', IMAGE, { ...sh(script), terminal: SIZE });
      for (let times = 0; times < 2; times++) {
        const { terminal, output = NOTHING } = await containers.start('job', { attach: true, stdin: 'pipe' });
        const seen = new Seen(output);
        await seen.shows('41 62\r\n');
        terminal?.input.write('hello\n');
        expect(await containers.wait('job')).toMatchObject({ code: 3 });
        await seen.over;
        expect(seen.text).toContain('read hello\r\n');
      }
      await containers.destroy('job');
      await expectNothingLeft(root);
    });

    test('goes on without whoever has launched it, and others sit down at it', async () => {
      const { containers, root } = await storeWithBusybox();
      const agent = otherContainerizer(
        root,
        `await c.launch('job', '${IMAGE}', { command: ['sh'], terminal: { rows: 24, columns: 80 }, attach: true });
         say('launched');
         await new Promise(() => {});`,
      );
      await agent.says('launched');
      await agent.kill();
      await containers.recover();
      const { terminal, output } = await containers.attach('job', { size: SIZE });
      const seen = new Seen(output);
      terminal.input.write('stty size; exit 4\n');
      await seen.shows('41 62\r\n');
      expect(await containers.wait('job')).toMatchObject({ code: 4 });
      await seen.over;
    });

    test('is drawn anew for whoever sits down, who hears nothing of before', async () => {
      const { containers } = await storeWithBusybox();
      const script = 'echo before; trap "echo drawn \\$(stty size)" WINCH; while :; do sleep 0.02; done';
      await containers.launch('job', IMAGE, { ...sh(script), terminal: SIZE });
      const log = async () => {
        let all = '';
        for await (const { bytes } of containers.logs('job')) all += bytes.toString();
        return all;
      };
      await vi.waitFor(async () => expect(await log()).toContain('before'), SOON);
      const { output } = await containers.attach('job', { size: SIZE });
      const seen = new Seen(output);
      await seen.shows('drawn 41 62\r\n');
      expect(seen.text).not.toContain('before');
      await containers.kill('job');
      await seen.over;
    });

    test('is left at once, also while nothing is printed', async () => {
      const { containers } = await storeWithBusybox();
      await containers.launch('job', IMAGE, { command: ['sleep', '60'], terminal: SIZE });
      const { output } = await containers.attach('job');
      const entries = output[Symbol.asyncIterator]();
      const next = entries.next();
      next.catch(() => undefined);
      const before = performance.now();
      await entries.return?.();
      expect(performance.now() - before).toBeLessThan(5000);
      const given = new AbortController();
      const other = await containers.attach('job', { signal: given.signal });
      const over = new Seen(other.output).over;
      given.abort();
      await expect(over).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    });

    test('is told its size, and left, also while what is typed is not read', async () => {
      const { containers } = await storeWithBusybox();
      const script = 'trap "stty size" WINCH; while :; do sleep 0.05; done';
      await containers.launch('job', IMAGE, { ...sh(script), terminal: SIZE });
      const full = await containers.attach('job');
      const seen = new Seen(full.output);
      full.terminal.input.on('error', () => undefined);
      full.terminal.input.write(Buffer.alloc(400_000, 'xxxxxxxxxx\r'));
      await new Promise((resolve) => setTimeout(resolve, 300));
      full.terminal.resize({ rows: 20, columns: 30 });
      await seen.shows('20 30\r\n');
      const other = await containers.attach('job', { size: { rows: 21, columns: 31 } });
      await seen.shows('21 31\r\n');
      other.terminal.close();
      full.terminal.close();
      await seen.over;
      expect(descriptorsTo('/typed')).toEqual([]);
    });

    test('is not seen any more where it was passed over, whichever part of the log that stands in', async () => {
      const { containers } = await storeWithBusybox();
      // Several parts of the log, of which two are kept.
      const log = { maxBytes: 2 ** 20 };
      const script =
        'read line; seq 1 60000; echo "first end"; read line; seq 1 10; echo "second end"; read line; exit 3';
      const options = { ...sh(script), terminal: SIZE, log, attach: true };
      const { terminal, output = NOTHING } = await containers.launch('job', IMAGE, options);
      const entries = output[Symbol.asyncIterator]();
      terminal?.input.write('\n');
      await entries.next();
      const other = new Seen((await containers.attach('job')).output);
      await vi.waitFor(async () => {
        let all = '';
        for await (const { bytes } of containers.logs('job', { tail: 3 })) all += bytes.toString();
        expect(all).toContain('first end');
      }, SOON);
      terminal?.passOver();
      terminal?.input.write('\n');
      let rest = '';
      while (!rest.includes('second end\r\n')) {
        const { value } = await entries.next();
        if (value === undefined) break;
        rest += ('bytes' in value ? value.bytes : value).toString();
      }
      // What had been read of the file already comes first.
      expect(rest).toContain('\r\n10\r\nsecond end\r\n');
      expect(rest).not.toContain('first end');
      expect(rest).not.toContain('59999');
      await other.shows('second end');
      await entries.return?.();
      terminal?.input.write('\n');
      await containers.kill('job').catch(() => undefined);
      await other.over;
    });

    test.each([true, false])(
      'ends with its log where that is said, though what it prints comes in small pieces: with a terminal %s',
      async (hasTerminal) => {
        const { containers } = await storeWithBusybox();
        const script = 'while :; do echo 0123456789012345678901234567890123456789; done';
        await containers.launch('job', IMAGE, {
          ...sh(script),
          ...(hasTerminal ? { terminal: SIZE } : {}),
          log: { maxBytes: 200_000, whenFull: 'end' },
        });
        expect(await containers.wait('job')).toMatchObject({ reason: 'log-limit', signal: 9 });
      },
    );

    test('has the size of whoever starts it, from its first line on', async () => {
      const { containers } = await storeWithBusybox();
      await containers.create('job', IMAGE, { ...sh('stty size'), terminal: SIZE });
      for (const size of [
        { rows: 20, columns: 30 },
        { rows: 21, columns: 31 },
      ]) {
        const { output = NOTHING } = await containers.start('job', { attach: true, size });
        const seen = new Seen(output);
        await containers.wait('job');
        await seen.over;
        expect(seen.text).toContain(`${size.rows} ${size.columns}\r\n`);
        expect(seen.text).not.toContain('41 62');
      }
    });

    test('leaves nothing open with whoever got up or gave up before he read anything, and keeps no container', async () => {
      const { containers, root } = await storeWithBusybox();
      await containers.launch('job', IMAGE, { command: ['cat'], terminal: SIZE, remove: true });
      const given = new AbortController();
      for (let times = 0; times < 3; times++) {
        (await containers.attach('job')).terminal.close();
        await containers.attach('job', { signal: given.signal });
        const { output } = await containers.attach('job');
        await output[Symbol.asyncIterator]().return?.();
      }
      given.abort();
      await expect(containers.attach('job', { signal: given.signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      await vi.waitFor(() => expect(descriptorsTo('/typed', '/sizes', '/output/log')).toEqual([]), SOON);
      await containers.kill('job');
      await expectNothingLeft(root);
    });

    test('is one of those that the container may have, which are not all that the machine has', async () => {
      const { containers } = await storeWithBusybox();
      // Each that is open holds one; the shell ends with the first that it does not get.
      const script = 'n=10; while [ $n -lt 400 ]; do eval "exec $n<>/dev/ptmx"; n=$((n + 1)); echo $n; done';
      const ulimits = { nofile: { soft: 1024, hard: 1024 } };
      const { output = NOTHING } = await containers.launch('job', IMAGE, { ...sh(script), ulimits, attach: true });
      const seen = new Seen(output);
      await seen.over;
      expect(seen.text.match(/^\d+$/gm)).toHaveLength(256);
    });

    test('is refused to be sat at where it has none, or runs no more', async () => {
      const { containers, root } = await storeWithBusybox();
      await containers.launch('plain', IMAGE, { command: ['sleep', '60'] });
      await expect(containers.attach('plain')).rejects.toMatchObject({
        code: 'ERR_NO_TERMINAL',
        hint: expect.stringContaining('exec -it plain'),
      });
      const foreign = await again(root, { owner: 'ci' });
      await containers.launch('done', IMAGE, { command: ['true'], terminal: SIZE });
      await containers.wait('done');
      await expect(containers.attach('done')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
      await containers.launch('mine', IMAGE, { command: ['sleep', '60'], terminal: SIZE });
      await expect(foreign.containers.attach('mine')).rejects.toMatchObject({ code: 'ERR_CONTAINER_FOREIGN' });
      await expect(containers.attach('nobody')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
      for (const size of [{ rows: 0, columns: 80 }, { rows: 24, columns: 65536 }, { rows: 24 }, 'large']) {
        await expect(containers.attach('mine', { size: size as never })).rejects.toMatchObject({
          code: 'ERR_BAD_OPTION',
        });
        const launched = containers.launch('other', IMAGE, { terminal: size as never });
        await expect(launched).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
      }
    });

    test('that cannot be started leaves nothing', async () => {
      const { containers, root } = await storeWithBusybox();
      const launched = containers.launch('job', IMAGE, { command: ['/nowhere'], terminal: SIZE });
      await expect(launched).rejects.toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
      await expectNothingLeft(root);
    });
  });

  describeWith([], 'of its own, beside the program of the container', () => {
    test.each(['crun', 'runc'] as const)(
      'by %s: it has its size, is told each new one, and ends as it ends',
      async (runtime) => {
        const { containers, root } = await storeWithBusybox({ runtime });
        const { launchId } = await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
        const script =
          // Crun gives it its size when the program may have begun already.
          `tty; until stty size 2>/dev/null; do [ ${runtime} = crun ] || echo late; done; echo $TERM; ` +
          'trap "stty size" WINCH; until read line && [ "$line" ]; do :; done; echo "read $line"; exit 6';
        const run = await containers.exec('job', ['sh', '-c', script], { terminal: SIZE });
        const seen = seenOf(run);
        await seen.shows('/dev/pts/0\r\n41 62\r\nxterm\r\n');
        run.terminal?.resize({ rows: 20, columns: 30 });
        await seen.shows('20 30\r\n');
        run.terminal?.input.write('hello\n');
        expect(await run.ended).toEqual({ code: 6, reason: 'exited' });
        await seen.over;
        expect(seen.text).toContain('read hello\r\n');
        // For another one the loaded copy of the program is asked, if it was not before.
        const other = await containers.exec('job', ['sh'], {
          terminal: SIZE,
          env: { TERM: 'dumb', PS1: 'box$((6 * 7))# ' },
        });
        const shown = seenOf(other);
        other.terminal?.input.write("sh -c 'echo $TERM-$((6 * 7)); exec sleep 60'\n");
        await shown.shows('dumb-42\r\n');
        await interrupt(other.terminal, shown);
        other.terminal?.input.write('exit 9\n');
        expect(await other.ended).toEqual({ code: 9, reason: 'exited' });
        await vi.waitFor(
          () => expect(readdirSync(launchPath(root, launchId)).join()).not.toMatch(/exec-|console/),
          SOON,
        );
        await containers.kill('job');
      },
    );

    test('is hung up when its terminal is closed, when its time is over, and when whoever asked for it is killed', async () => {
      const { containers, root } = await storeWithBusybox();
      await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
      const alone = () => vi.waitFor(() => expect(processesOf(root).inContainers).toHaveLength(1), SOON);
      const closed = await containers.exec('job', ['sh', '-c', 'sleep 60'], { terminal: SIZE });
      await vi.waitFor(() => expect(processesOf(root).inContainers.length).toBeGreaterThan(1), SOON);
      closed.terminal?.close();
      seenOf(closed);
      expect((await closed.ended).code).toBe(128 + 1);
      await alone();

      const late = await containers.exec('job', ['sleep', '60'], { terminal: SIZE, timeout: 300 });
      seenOf(late);
      expect(await late.ended).toEqual({ signal: 9, reason: 'time-limit' });
      await alone();

      const agent = otherContainerizer(
        root,
        `const run = await c.exec('job', ['sh', '-c', 'echo ready; sleep 60'], { terminal: { rows: 24, columns: 80 } });
         run.stdout.once('data', () => say('ready'));
         await new Promise(() => {});`,
      );
      await agent.says('ready');
      await agent.kill();
      await alone();
    });

    test.each(['crun', 'runc'] as const)('by %s: it is that of whoever runs the program', async (runtime) => {
      const { containers } = await storeWithBusybox({ runtime });
      await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
      const script = 'sleep 0.2; echo one >/dev/stderr; echo two >"$(tty)"; stat -c %u "$(tty)"';
      const run = await containers.exec('job', ['sh', '-c', script], { terminal: SIZE, user: 'alice' });
      const seen = seenOf(run);
      expect(await run.ended).toMatchObject({ code: 0 });
      await seen.over;
      expect(seen.text).toBe('one\r\ntwo\r\n1000\r\n');
    });

    test('is hung up also while what is typed is not read', async () => {
      const { containers, root } = await storeWithBusybox();
      await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
      const script = 'trap "exit 3" HUP; echo ready; while :; do sleep 0.05; done';
      const run = await containers.exec('job', ['sh', '-c', script], { terminal: SIZE });
      const seen = seenOf(run);
      await seen.shows('ready');
      run.terminal?.input.on('error', () => undefined);
      run.terminal?.input.write(Buffer.alloc(400_000, 'xxxxxxxxxx\r'));
      await new Promise((resolve) => setTimeout(resolve, 200));
      run.terminal?.close();
      expect(await run.ended).toEqual({ code: 3, reason: 'exited' });
      const typing = `run.terminal.input.write(Buffer.alloc(400000, 'xxxxxxxxxx\\r')); run.stdout.on('data', () => {});`;
      const agent = otherContainerizer(
        root,
        `const run = await c.exec('job', ['sh', '-c', ${JSON.stringify(script)}], { terminal: { rows: 24, columns: 80 } });
         ${typing} await sleep(500); say('typed'); await new Promise(() => {});`,
      );
      await agent.says('typed');
      await agent.kill();
      await vi.waitFor(() => expect(processesOf(root).inContainers).toHaveLength(1), SOON);
    });

    test('says that it cannot be started as any other does', async () => {
      const { containers } = await storeWithBusybox();
      await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
      const run = await containers.exec('job', ['/nowhere'], { terminal: SIZE });
      run.stderr.resume();
      void text(run.stdout);
      await expect(run.ended).rejects.toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
    });
  });
});

async function piecesOf(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  return pieces;
}

/** What this process has open that ends so. */
function descriptorsTo(...ends: string[]): string[] {
  return readdirSync('/proc/self/fd')
    .map((name) => {
      try {
        return readlinkSync(`/proc/self/fd/${name}`);
      } catch {
        return '';
      }
    })
    .filter((path) => ends.some((end) => path.endsWith(end)));
}
