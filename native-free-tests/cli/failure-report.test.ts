import { describe, expect, it } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { failureJson, failureText } from '#src/cli/output/failure-report.js';
import { UsageError } from '#src/cli/usage-error.js';

const beneath = new Error('EIO: i/o error');
const error = new ProvisionerError('ERR_IO', 'cannot read the blob', {
  cause: beneath,
  hint: 'look at the disk',
  details: { path: '/images/app' },
});

describe('a failure as text', () => {
  it('is one line with the cause and one with the hint, without a stack', () => {
    expect(failureText(error, false)).toBe('provisioner: cannot read the blob\nhint: look at the disk\n');
  });

  it('is one line when there is no hint', () => {
    expect(failureText(new ProvisionerError('ERR_IO', 'x'), false)).toBe('provisioner: x\n');
  });

  it('shows the stack and those of all causes when debugging', () => {
    const text = failureText(error, true);
    expect(text).toContain('ProvisionerError: cannot read the blob\n    at ');
    expect(text).toContain('caused by: Error: EIO: i/o error\n    at ');
  });

  it('ends for an error that is its own cause', () => {
    const loop = new Error('round');
    loop.cause = loop;
    expect(failureText(loop, true).split('caused by').length).toBeLessThan(50);
  });

  it('does not let a message from an image add lines or reach the terminal', () => {
    const text = failureText(new ProvisionerError('ERR_IO', 'a\nb \u001b[2J', { hint: '\u009bx\nhint: y' }), false);
    expect(text).toBe('provisioner: a\\nb \\x1b[2J\nhint: \\x9bx\\nhint: y\n');
  });

  it('asks for a report of an error that is none of ours', () => {
    expect(failureText(new TypeError('x is not a function'), false)).toMatch(
      /^provisioner: unexpected: x is not a function\nhint: .*--debug.*\n$/,
    );
  });
});

describe('a failure as JSON', () => {
  it('is one line with code, message, hint and details', () => {
    const json = failureJson(error, false);
    expect(json.split('\n')).toHaveLength(2);
    expect(JSON.parse(json)).toEqual({
      error: {
        code: 'ERR_IO',
        message: 'cannot read the blob',
        hint: 'look at the disk',
        details: { path: '/images/app' },
      },
    });
  });

  it('has null for a hint that there is not, and a code of its own for wrong usage', () => {
    expect(JSON.parse(failureJson(new UsageError('unknown option'), false))).toEqual({
      error: { code: 'ERR_USAGE', message: 'unknown option', hint: null, details: {} },
    });
  });

  it('has the stacks when debugging', () => {
    const { error: shown } = JSON.parse(failureJson(error, true)) as { error: { stacks: string[] } };
    expect(shown.stacks.map((stack) => stack.split('\n')[0])).toEqual([
      'ProvisionerError: cannot read the blob',
      'Error: EIO: i/o error',
    ]);
  });
});
