"""Simulated federations of many sites: transplanting beside what a user would pick instead."""
