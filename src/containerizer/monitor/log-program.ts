/**
 * The part of the monitor's program that writes the log. Its lines are those of Kubernetes' CRI: time, stream, F for a line or P for a part of one, and the text.
 * @see Kubernetes' design proposal "kubelet-cri-logging.md"
 */
export const LOG_PROGRAM = String.raw`my ($stamped, $stamp, $full);
sub stamp {
  my ($seconds, $nanoseconds) = now(0);
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
  rotate() if $set{'log-limit'} && $size > 0 && $size + length($text) > $set{'log-limit'} / 2;
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
  return 1;
}
sub rotate {
  rename('output/log', 'output/log.1') or return;
  close $log if $log;
  undef $log;
  open_log('>');
}
`;
