"""FedProx: FedAvg whose sites are held near the net that they were sent.

Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith: Federated Optimization in Heterogeneous Networks, MLSys 2020
(arXiv 1812.06127), equation 2: each site minimises

    h_k(w; w_t) = F_k(w) + mu / 2 ||w - w_t||^2

and the center averages as FedAvg does (Flower's strategies for the two differ in what they tell the sites
alone). The paper picks mu from {0.001, 0.01, 0.1, 1} by data set; 0.01 is the middle of it and what later
comparisons on CIFAR-10 mostly take. Here it is fixed: nothing is tuned on a data set's test pictures.
"""

from __future__ import annotations

from benchmarks.sites.peers.fedavg import FedAvg

PROXIMAL_MU = 0.01

FED_PROX = FedAvg(proximal_mu=PROXIMAL_MU)
