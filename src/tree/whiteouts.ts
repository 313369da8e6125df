/**
 * How a layer on disk says that something of the layers below it is gone. A store has one format for all its layers, in its
 * `format` file, found out by trying when the store is made:
 *
 * | format    | a removed entry                | an opaque directory            | made by                    | mounted by overlay  |
 * |-----------|--------------------------------|--------------------------------|----------------------------|---------------------|
 * | `trusted` | character device 0/0           | `trusted.overlay.opaque` = `y` | root                       | yes                 |
 * | `user`    | character device 0/0           | `user.overlay.opaque` = `y`    | root of a user namespace   | yes, with userxattr |
 * | `plain`   | an empty file `.wh.<name>`     | an empty file `.wh..wh..opq`   | anybody                    | no                  |
 *
 * The files of `plain` are those of the archive itself, so they cannot collide with a real name.
 * @see OCI image-spec, layer.md, "Whiteouts"; https://docs.kernel.org/filesystems/overlayfs.html "whiteouts and opaque directories"
 */
export type WhiteoutFormat = 'trusted' | 'user' | 'plain';

/** Begins the name of a whiteout in an archive; what follows is the name that is gone. */
export const WHITEOUT_PREFIX = '.wh.';
/** Stands in an archive's directory that hides all of that name below it. */
export const OPAQUE_MARKER = '.wh..wh..opq';

/** The attribute of an opaque directory in a format that overlay understands. */
export function opaqueXattr(format: 'trusted' | 'user'): string {
  return `${format}.overlay.opaque`;
}

/** Attributes that overlay obeys or hides; no archive may set them and no rootfs shows them. */
export function isOverlayXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');
}
