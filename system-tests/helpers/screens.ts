import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, expect, vi } from 'vitest';
import { temporaryDirectory } from './test-store.js';

const SOON = { timeout: 15_000, interval: 25 };

const opened = new Set<Screen>();
// Before the directories go in which their sockets are, which another hook removes: hooks run in reverse order.
afterEach(() => {
  for (const screen of opened) screen.close();
  opened.clear();
});

type Opening = [
  size: { readonly rows: number; readonly columns: number },
  env: Readonly<Record<string, string>>,
  commands?: Readonly<Record<string, string>>,
];

/** A real terminal with a shell at its prompt, `host#`, at which somebody sits. */
export class Screen {
  readonly #socket = join(temporaryDirectory(), 'tmux');

  /** @param env beside PATH @param commands short names of what is typed often */
  static async open(...[size, env, commands]: Opening): Promise<Screen> {
    const screen = new Screen(size, env, commands);
    await screen.prompts();
    return screen;
  }

  private constructor(
    size: { readonly rows: number; readonly columns: number },
    env: Readonly<Record<string, string>>,
    commands: Readonly<Record<string, string>> = {},
  ) {
    const { PATH = '' } = process.env;
    const lines = ['bash', '--norc', '--noprofile'];
    this.#tmux(
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      '-x',
      String(size.columns),
      '-y',
      String(size.rows),
      'env',
      '-i',
      `PATH=${PATH}`,
      'TERM=screen',
      'LC_ALL=C.UTF-8',
      ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
      ...lines,
    );
    opened.add(this);
    const aliases = Object.entries(commands).map(([name, command]) => `alias ${name}='${command}'; `);
    this.type(`${aliases.join('')}PS1='host# '; clear\n`);
  }

  /** What it shows, without what is empty at its end. */
  get text(): string {
    return this.#tmux('capture-pane', '-p').trimEnd();
  }

  /** @param keys text as it is, with `\n` for the key at its end */
  type(keys: string): void {
    for (const line of keys.split(/(?<=\n)/)) {
      if (line !== '\n') this.#tmux('send-keys', '-l', line.replace('\n', ''));
      if (line.endsWith('\n')) this.press('Enter');
    }
  }

  /** @param keys as tmux(1) names them: `C-c`, `Escape` */
  press(...keys: string[]): void {
    this.#tmux('send-keys', ...keys);
  }

  /** Of all that was shown before. */
  async clear(): Promise<void> {
    await this.prompts();
    this.type('clear\n');
    await this.shows(/^host#$/);
  }

  /** As it comes from a clipboard. */
  paste(text: string): void {
    execFileSync('tmux', ['-S', this.#socket, 'load-buffer', '-'], { input: text });
    this.#tmux('paste-buffer');
  }

  /** Resolves when it shows this. */
  async shows(what: string | RegExp): Promise<void> {
    await vi.waitFor(
      () => (typeof what === 'string' ? expect(this.text).toContain(what) : expect(this.text).toMatch(what)),
      SOON,
    );
  }

  /** Resolves when the shell waits for a command, and nobody else reads what is typed. */
  async prompts(): Promise<void> {
    await this.shows(/(?:^|\n)host#$/);
  }

  resize({ rows, columns }: { readonly rows: number; readonly columns: number }): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Hangs up. */
  close(): void {
    try {
      this.#tmux('kill-server');
    } catch {
      // It has been closed before.
    }
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }
}
