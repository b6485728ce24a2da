"""Everything that speaks to Kafka: topics, codecs, the transport, the producer, and a broker of our own for development."""
