import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { anySignal } from '#src/base/any-signal.js';

/** What a process prints in which the garbage is collected again and again. */
function collecting(script: string): string {
  return execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], { encoding: 'utf8' });
}

const moduleOf = (path: string) => JSON.stringify(new URL(`../../build/base/${path}`, import.meta.url).href);
const UNTIL_ABORTED = `
  const late = setTimeout(() => { console.log('lost'); process.exit(); }, 5000);
  const collect = setInterval(() => gc(), 5);
  signal.addEventListener('abort', () => { console.log(signal.reason.name); clearTimeout(late); clearInterval(collect); });`;

it('a signal that follows others aborts with them, though nobody else knows them any more', () => {
  const script = `const { anySignal } = await import(${moduleOf('any-signal.js')});
    const signal = anySignal([anySignal([AbortSignal.timeout(100)]), new AbortController().signal]);${UNTIL_ABORTED}`;
  expect(collecting(script)).toBe('TimeoutError\n');
});

it('a call keeps to the time that it is given by a signal of which nobody else knows', () => {
  const script = `const { takeOptions } = await import(${moduleOf('options/take-options.js')});
    const { abortSignal } = await import(${moduleOf('options/check-options.js')});
    const { signal } = takeOptions('call', { signal: abortSignal }, { signal: AbortSignal.timeout(100) });${UNTIL_ABORTED}`;
  expect(collecting(script)).toBe('TimeoutError\n');
});

it('nothing of ours follows signals in another way', () => {
  const sources = fileURLToPath(new URL('../../src', import.meta.url));
  const files = readdirSync(sources, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const others = files.filter((name) => name !== 'base/any-signal.ts');
  expect(others.filter((name) => readFileSync(`${sources}/${name}`, 'utf8').includes('AbortSignal.any('))).toEqual([]);
});

it('is aborted already with one that is', () => {
  expect(anySignal([new AbortController().signal, AbortSignal.abort('why')])).toMatchObject({
    aborted: true,
    reason: 'why',
  });
});
