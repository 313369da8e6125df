import { describe, expect, it } from 'vitest';
import { readStoredConfig, runtimeConfig } from '#src/image/image-config.js';

const of = (Healthcheck: unknown) =>
  runtimeConfig(readStoredConfig(JSON.stringify({ config: { Healthcheck }, rootfs: {} }))).healthcheck;

describe('the health check of an image', () => {
  it('is a program and its arguments', () => {
    expect(of({ Test: ['CMD', '/check', '--fast'] })).toEqual({ command: ['/check', '--fast'] });
  });

  it('is a text for the shell', () => {
    expect(of({ Test: ['CMD-SHELL', 'a || b'] })).toEqual({ command: ['/bin/sh', '-c', 'a || b'] });
  });

  it('has times in milliseconds, where the image has nanoseconds', () => {
    const times = { Interval: 5e9, Timeout: 1_500_000, StartPeriod: 6e10, StartInterval: 1e9, Retries: 4 };
    expect(of({ Test: ['CMD', 'x'], ...times })).toEqual({
      command: ['x'],
      interval: 5000,
      timeout: 2,
      startPeriod: 60_000,
      startInterval: 1000,
      retries: 4,
    });
  });

  it('is read whatever the case of its keys', () => {
    expect(of({ test: ['CMD', 'x'], INTERVAL: 2e9 })).toEqual({ command: ['x'], interval: 2000 });
  });

  it('leaves unsaid what is zero, too short for a timer, or no number; and never waits longer than a timer can', () => {
    expect(of({ Test: ['CMD', 'x'], Interval: 0, Timeout: 999_999, StartPeriod: '5s', Retries: -1 })).toEqual({
      command: ['x'],
    });
    expect(of({ Test: ['CMD', 'x'], Interval: 1e19 })).toEqual({ command: ['x'], interval: 2 ** 31 - 1 });
  });

  it.each([
    [undefined],
    [null],
    ['CMD x'],
    [[]],
    [{}],
    [{ Test: null }],
    [{ Test: [] }],
    [{ Test: ['NONE'] }],
    [{ Test: ['CMD'] }],
    [{ Test: ['CMD', null] }],
    [{ Test: ['CMD-SHELL', ''] }],
    [{ Test: ['CMD-NEW', 'x'] }],
    [{ Test: 'x' }],
  ])('is none where there is nothing to run: %j', (section) => {
    expect(of(section)).toBeUndefined();
  });
});
