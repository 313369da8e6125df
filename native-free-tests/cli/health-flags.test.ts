import { describe, expect, it } from 'vitest';
import { type HealthFlags, healthOf } from '#src/cli/running/flags/health-flags.js';
import { runInMemory } from './run-in-memory.js';

const asked = (flags: HealthFlags) => healthOf(flags).health;

describe('options of health', () => {
  it('ask for nothing where none is given, and for no check by two words, of which one has several forms', () => {
    expect(healthOf({})).toEqual({});
    expect(asked({ healthcheck: false })).toBe(false);
    for (const healthCmd of ['none', 'NONE', '["NONE"]']) expect(asked({ healthCmd })).toBe(false);
  });

  it.each([
    ['curl -f localhost || exit 1', ['/bin/sh', '-c', 'curl -f localhost || exit 1']],
    ['[ -e /ready ]', ['/bin/sh', '-c', '[ -e /ready ]']],
    ['["/check", "--fast"]', ['/check', '--fast']],
    ['["CMD", "/check"]', ['/check']],
    ['["CMD-SHELL", "a | b"]', ['/bin/sh', '-c', 'a | b']],
  ])('name a command: %s', (healthCmd, command) => {
    expect(asked({ healthCmd })).toEqual({ command });
  });

  it.each([
    ['500ms', 500],
    ['1m30s', 90_000],
    ['2', 2000],
    ['1.5s', 1500],
    ['1ms', 1],
  ])('have times as Docker has them: %s', (healthInterval, interval) => {
    expect(asked({ healthInterval })).toEqual({ interval });
  });

  it('take a zero for what is left out', () => {
    expect(healthOf({ healthInterval: '0s', healthTimeout: '0', healthRetries: '0', healthCmd: '' })).toEqual({});
  });

  it.each([
    [['--health-interval', '999us'], 'less than a millisecond'],
    [['--health-timeout', '25d'], 'more than 24 days'],
    [['--health-start-period', 'soon'], 'not a time'],
    [['--health-start-interval', '5 s'], 'not a time'],
    [['--health-retries', '-1'], 'not a number'],
    [['--health-cmd', '[]'], 'no program'],
    [['--health-cmd', '["CMD-SHELL"]'], 'no program'],
    [['--health-on-failure', 'restart'], 'starts a program again'],
    [['--health-on-failure', 'panic'], 'not an action'],
    [['--no-healthcheck', '--health-cmd', 'x'], 'does not go with'],
    [['--health-cmd', 'none', '--health-retries', '2'], 'does not go with'],
  ])('that cannot be are wrong usage: %j', async (words, problem) => {
    const { status, stderr } = await runInMemory(['--root', '/dev/null/store', 'run', ...words, 'image']);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^provisioner: --.+\nhint: .+\n$/);
    expect(stderr).toContain(problem);
  });
});

describe('conditions to wait for', () => {
  it('are listed where one is unknown', async () => {
    const { status, stderr } = await runInMemory(['--root', '/dev/null/store', 'wait', '--condition', 'happy', 'job']);
    expect(status).toBe(2);
    expect(stderr).toContain('exited, healthy, unhealthy, running, paused, stopped');
  });
});
