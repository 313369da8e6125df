import { describe, expect, it } from 'vitest';
import { deadlineIn, heldDeadline, remainingOf } from '#src/containerizer/launches/deadline.js';

describe('the deadline of a launch', () => {
  it('passes by the monotonic clock', () => {
    const left = remainingOf(deadlineIn(5000));
    expect(left?.isHeld).toBe(false);
    expect(left?.milliseconds).toBeGreaterThan(4000);
    expect(left?.milliseconds).toBeLessThanOrEqual(5001);
  });

  it('keeps what is left while it is held, in words that a monitor takes for no deadline', () => {
    const text = heldDeadline(1500);
    expect(remainingOf(text)).toEqual({ milliseconds: 1500, isHeld: true });
    // As `left` of the monitor's program reads it.
    expect(text).not.toMatch(/^(\d+(?:\.\d+)?)$/);
  });

  it('that is over has nothing left, and no less than that', () => {
    expect(remainingOf('0.001')).toEqual({ milliseconds: 0, isHeld: false });
  });

  it.each(['', '-', 'soon', '-1', '1e3', '- '])('is none where the file says %j', (text) => {
    expect(remainingOf(text)).toBeUndefined();
  });
});
