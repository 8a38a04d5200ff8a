"""The way into Kafka over HTTP: webhooks, xAPI, Caliper, CloudEvents and files.

One file an endpoint family. Each knows who sends, checks the form, which the sender can mend, writes the sender's bytes
as they are to the source's topic, and answers success only when Kafka has them. What they mean is not decided here.
"""
