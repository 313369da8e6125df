/** The kernel's own, which every container has. */
const KERNELS = 'null|zero|full|random|urandom|tty';
const EVERYWHERE = new RegExp(`^/dev/(?:${KERNELS})$`);
/** What of `/dev` is the same in each container, and no file system. */
const DEVICES = new RegExp(`^/dev/(?:${KERNELS}|console|ptmx|fd|stdin|stdout|stderr)(?:/|$)`);
/** And what is a file system there, or is made by a runtime or by us. */
const OTHERS = /^\/dev\/(?:core|init|pts|shm|mqueue)(?:\/|$)/;

/** Whether a container has that device of the kernel's without being asked. @param path absolute and normalised, as of those below */
export const isEverywhere = (path: string): boolean => EVERYWHERE.test(path);

/** Whether a path is that of a device or link which each container has of its own, or lies below it: what a program throws away, or takes for random, would be a file's. */
export const isOwnDevice = (path: string): boolean => DEVICES.test(path);

/** Whether each container has something of its own there, so that no device can have that place. */
export const isOfEachContainer = (path: string): boolean => isOwnDevice(path) || OTHERS.test(path);
