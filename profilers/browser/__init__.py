"""Measuring in a browser: a page of ours and its server; the device itself is `profilers.devices.browser`."""
