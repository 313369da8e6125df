import { describe, expect, it } from 'vitest';
import { letGo } from '#src/mounts/let-go.js';
import { type MountState, type Syscalls, syscallError } from '#src/system/syscalls/syscalls.js';

/** A directory with so many mounts upon each other. */
class Stack implements Pick<Syscalls, 'detachMount' | 'detachMountAside' | 'mountState'> {
  readonly ways: string[] = [];
  /** What the kernel says instead of unmounting. */
  refusal: string | false | undefined;

  constructor(
    public mounts: number,
    readonly tells = true,
  ) {}

  mountState(): MountState {
    if (!this.tells) return 'unknown';
    return this.mounts > 0 ? 'mounted' : 'none';
  }
  detachMount(): boolean {
    this.ways.push('here');
    return this.#detach();
  }
  async detachMountAside(): Promise<boolean> {
    this.ways.push('aside');
    return this.#detach();
  }

  letGo(aside = false): Promise<void> {
    return letGo(this as unknown as Syscalls, '/rootfs', aside);
  }

  #detach(): boolean {
    if (this.refusal === false) return false;
    if (this.refusal !== undefined) throw syscallError(this.refusal, 'umount', '/rootfs');
    return this.mounts-- > 0;
  }
}

describe('letting go of what is mounted at a directory', () => {
  it('is one unmount for one mount, and none for none', async () => {
    const one = new Stack(1);
    await one.letGo();
    expect(one.ways).toEqual(['here']);
    const none = new Stack(0);
    await none.letGo();
    expect(none.ways).toEqual([]);
  });

  it('leaves the waiting to another thread when others wait, and for all but the first mount', async () => {
    const one = new Stack(1);
    await one.letGo(true);
    expect(one.ways).toEqual(['aside']);
    const three = new Stack(3);
    await three.letGo();
    expect(three.ways).toEqual(['here', 'aside', 'aside']);
    expect(three.mounts).toBe(0);
  });

  it('goes on until nothing is left where the kernel does not tell what is mounted', async () => {
    const stack = new Stack(3, false);
    await stack.letGo();
    expect(stack.ways).toHaveLength(4);
    expect(stack.mounts).toBe(-1);
  });

  it('comes to an end when the kernel never unmounts what is mounted, and says where', async () => {
    const stack = new Stack(1);
    stack.refusal = false;
    await expect(stack.letGo()).rejects.toMatchObject({ code: 'ERR_PERMISSION', details: { mount: '/rootfs' } });
    expect(stack.ways.length).toBeLessThan(10);
  });

  it('comes to an end when somebody mounts as fast as it unmounts', async () => {
    const stack = new Stack(Number.POSITIVE_INFINITY);
    await expect(stack.letGo()).rejects.toMatchObject({ code: 'ERR_PERMISSION' });
  });

  it('tells of a mount that is not ours to unmount, and passes any other failure on', async () => {
    const stack = new Stack(1);
    stack.refusal = 'EPERM';
    await expect(stack.letGo()).rejects.toMatchObject({ code: 'ERR_PERMISSION', cause: { code: 'EPERM' } });
    stack.refusal = 'ENOMEM';
    await expect(stack.letGo()).rejects.toMatchObject({ code: 'ENOMEM' });
  });
});
