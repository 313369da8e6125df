/**
 * The part of the monitor's program that writes the log. Its lines are those of Kubernetes' CRI: time, stream, F for a line or P for a part of one, and the text.
 *
 * Each part of a log but the first begins with a line of the stream `part`: its number, and the time of what was printed last before it. By these whoever reads more slowly than is written sees that he has missed one.
 * @see Kubernetes' design proposal "kubelet-cri-logging.md"
 */
export const LOG_PROGRAM = String.raw`my ($stamped, $stamp, $full, $part, $last);
sub stamp {
  my ($seconds, $nanoseconds) = @_ ? ($_[0], 0) : now(0);
  if (!defined $stamped || $seconds != $stamped) {
    my @time = gmtime($seconds);
    $stamp = sprintf('%04d-%02d-%02dT%02d:%02d:%02d', $time[5] + 1900, $time[4] + 1, @time[3, 2, 1, 0]);
    $stamped = $seconds;
  }
  return sprintf('%s.%09dZ', $stamp, $nanoseconds);
}
sub open_log {
  my ($mode) = @_;
  open($log, $mode, 'output/log') or return;
  $size = -s $log;
}
# Goes on with the log of a program that ran before in the same container.
sub go_on {
  open_log('>>');
  $part = 0;
  $last = stamp($log ? (stat $log)[9] : 0);
  if (open(my $file, '<', 'output/log')) {
    my $first = <$file> // '';
    $part = $1 if $first =~ /^\S+ part F (\d+) /;
  }
}
# Nothing that goes wrong here holds up the program: what the disk does not take is counted, and told when it takes something again.
sub keep {
  my ($stream, $bytes) = @_;
  my $lead = stamp() . " $stream ";
  my $whole = rindex($bytes, "\n");
  my $text = '';
  if ($whole >= 0) {
    $text = $lead . 'F ' . substr($bytes, 0, $whole);
    my $next = "\n" . $lead . 'F ';
    $text =~ s/\n/$next/g;
    $text .= "\n";
  }
  $text .= $lead . 'P ' . substr($bytes, $whole + 1) . "\n" if $whole + 1 < length $bytes;
  if ($full ||= $set{'log-limit'} && $set{'log-end'} && $size + length($text) > $set{'log-limit'}) {
    # Also of what has ended by itself just before it would have been ended for this: whoever asks for the end is told that output is missing.
    $by ||= 'log-limit';
    return lose($stream, length $bytes);
  }
  rotate() if $set{'log-limit'} && !$set{'log-end'} && $size > 0 && $size + length($text) > $set{'log-limit'} / 2;
  tell_lost();
  lose($stream, length $bytes) if %lost || !put($text);
}
sub lose {
  my ($stream, $count) = @_;
  $lost{$stream} += $count;
}
sub tell_lost {
  for my $stream (sort keys %lost) {
    delete $lost{$stream} if put(stamp() . " monitor F $lost{$stream} bytes of $stream could not be kept\n");
  }
}
sub put {
  my ($text) = @_;
  open_log('>>') unless $log;
  return 0 unless $log;
  my $done = 0;
  while ($done < length $text) {
    my $wrote = syswrite($log, $text, length($text) - $done, $done);
    if (!defined $wrote) {
      next if $!{EINTR};
      truncate($log, $size);
      return 0;
    }
    $done += $wrote;
  }
  $size += $done;
  $last = substr($text, 0, index($text, ' '));
  return 1;
}
sub rotate {
  rename('output/log', 'output/log.1') or return;
  close $log if $log;
  undef $log;
  open_log('>');
  $part++;
  # Without its line it is taken for the first one of a log.
  $part = 0 unless put(stamp() . " part F $part $last\n");
}
`;
